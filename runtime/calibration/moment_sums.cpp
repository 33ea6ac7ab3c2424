#include "runtime/calibration/moment_sums.hpp"

#include <cstring>
#include <span>

#include "runtime/calibration/head_rows.hpp"

namespace pikv::runtime {
namespace {

using shards::Matrix;

void add_square(Matrix const& x, double* sum) { Eigen::Map<Matrix>{sum, x.cols(), x.cols()}.noalias() += x.transpose() * x; }
void add_rows(Matrix const& x, double* sum) { Eigen::Map<Eigen::RowVectorXd>{sum, x.cols()} += x.colwise().sum(); }

}   // namespace

MomentSums::MomentSums(std::int32_t layers, std::int32_t kv_heads, std::int32_t q_heads, std::int32_t head_dim)
    : layers_{layers}, kv_heads_{kv_heads}, q_heads_{q_heads}, head_dim_{head_dim} {
  std::size_t const d = static_cast<std::size_t>(head_dim), square = d * d;
  place_ = {0, 1, 1 + d, 1 + 2 * d, 1 + 2 * d + square, 1 + 2 * d + 2 * square, 1 + 2 * d + 3 * square};
  sums_.resize(static_cast<std::size_t>(layers) * static_cast<std::size_t>(kv_heads) * place_.end);
}

std::size_t MomentSums::head_begin(std::int32_t layer, std::int32_t head) const {
  return (static_cast<std::size_t>(layer) * static_cast<std::size_t>(kv_heads_) + static_cast<std::size_t>(head)) * place_.end;
}

void MomentSums::add(std::int32_t layer, std::int32_t rows, float const* q, float const* k, float const* v) {
  std::int32_t const group = q_heads_ / kv_heads_;
#pragma omp parallel for schedule(dynamic)
  for (std::int32_t head = 0; head < kv_heads_; ++head) {
    double* const sums = sums_.data() + head_begin(layer, head);
    sums[place_.count] += rows;
    Matrix const keys = head_rows(k, rows, kv_heads_, head, head_dim_), values = head_rows(v, rows, kv_heads_, head, head_dim_);
    add_rows(keys, sums + place_.k_sum);
    add_rows(values, sums + place_.v_sum);
    add_square(keys, sums + place_.kk);
    add_square(values, sums + place_.vv);
    for (std::int32_t of_group = 0; of_group < group; ++of_group)
      add_square(head_rows(q, rows, q_heads_, head * group + of_group, head_dim_), sums + place_.qq);
  }
}

void MomentSums::reduce(comm::World& world, double deadline_s) {
  std::size_t const of_layer = sums_.size() / static_cast<std::size_t>(layers_);
  std::vector<double> other(of_layer);
  for (std::size_t begin = 0; begin < sums_.size(); begin += of_layer) {
    std::span<double> const mine{sums_.data() + begin, of_layer};
    auto const all = world.all_gather(std::as_bytes(mine), world.in(deadline_s));
    std::fill(mine.begin(), mine.end(), 0.0);
    for (comm::Bytes const& bytes : all) {
      std::memcpy(other.data(), bytes.data(), bytes.size());
      for (std::size_t i = 0; i < of_layer; ++i) mine[i] += other[i];
    }
  }
}

std::int64_t MomentSums::tokens() const { return static_cast<std::int64_t>(sums_[place_.count]); }

shards::HeadMoments MomentSums::moments(std::int32_t layer, std::int32_t head) const {
  double const* const sums = sums_.data() + head_begin(layer, head);
  shards::HeadMoments moments;
  moments.head_dim = head_dim_;
  moments.tokens = sums[place_.count];
  moments.queries = moments.tokens * (q_heads_ / kv_heads_);
  auto const mean = [&](std::size_t begin, std::size_t end, double count) {
    std::vector<double> values(sums + begin, sums + end);
    for (double& value : values) value /= count;
    return values;
  };
  moments.k_mean = mean(place_.k_sum, place_.v_sum, moments.tokens);
  moments.v_mean = mean(place_.v_sum, place_.kk, moments.tokens);
  moments.k_second = mean(place_.kk, place_.vv, moments.tokens);
  moments.v_second = mean(place_.vv, place_.qq, moments.tokens);
  moments.q_second = mean(place_.qq, place_.end, moments.queries);
  return moments;
}

}   // namespace pikv::runtime
