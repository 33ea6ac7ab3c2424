#include "runtime/calibration/samples.hpp"

#include <algorithm>
#include <cstring>

#include "runtime/calibration/head_rows.hpp"
#include "runtime/calibration/split.hpp"

namespace pikv::runtime {
namespace {

constexpr std::int32_t most_tokens = 512, query_every = 8;

std::size_t product(std::int32_t a, std::int32_t b, std::int32_t c) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) * static_cast<std::size_t>(c); }

}   // namespace

Samples::Samples(ModelConfig const& config, std::int64_t windows, std::int32_t window_tokens)
    : layers_{config.layers},
      q_heads_{config.q_heads},
      kv_heads_{config.kv_heads},
      head_dim_{config.head_dim},
      tokens_{std::min(window_tokens, most_tokens) / query_every * query_every},
      queries_{tokens_ / query_every},
      chosen_{sampled_windows(windows)} {
  std::size_t const kv = product(tokens_, kv_heads_, head_dim_);
  place_ = {0, kv, 2 * kv, 2 * kv + product(queries_, q_heads_, head_dim_)};
}

void Samples::add(std::int64_t window, std::int32_t layer, std::int32_t first, std::int32_t rows, float const* q, float const* k, float const* v) {
  if (std::ranges::find(chosen_, window) == chosen_.end()) return;
  auto& layers = mine_[window];
  layers.resize(static_cast<std::size_t>(layers_));
  auto& numbers = layers[static_cast<std::size_t>(layer)];
  numbers.resize(place_.end);
  std::size_t const kv_row = product(1, kv_heads_, head_dim_), q_row = product(1, q_heads_, head_dim_);
  for (std::int32_t row = 0; row < rows && first + row < tokens_; ++row) {
    std::size_t const at = static_cast<std::size_t>(first + row), from = static_cast<std::size_t>(row);
    std::copy_n(k + from * kv_row, kv_row, numbers.data() + place_.k + at * kv_row);
    std::copy_n(v + from * kv_row, kv_row, numbers.data() + place_.v + at * kv_row);
    if ((first + row) % query_every == query_every - 1)
      std::copy_n(q + from * q_row, q_row, numbers.data() + place_.q + at / query_every * q_row);
  }
}

shards::AttentionWindow Samples::window_of(float const* numbers, std::int32_t head) const {
  shards::AttentionWindow window{head_rows(numbers + place_.k, tokens_, kv_heads_, head, head_dim_), head_rows(numbers + place_.v, tokens_, kv_heads_, head, head_dim_), {}, {}};
  for (std::int32_t query = 0; query < queries_; ++query) window.positions.push_back(query * query_every + query_every - 1);
  std::int32_t const group = q_heads_ / kv_heads_;
  for (std::int32_t i = 0; i < group; ++i) window.q.push_back(head_rows(numbers + place_.q, queries_, q_heads_, head * group + i, head_dim_));
  return window;
}

std::vector<HeadSamples> Samples::take(comm::World& world, double deadline_s, std::int32_t layer) {
  std::vector<float> mine;
  for (auto& [window, layers] : mine_) {
    auto& numbers = layers[static_cast<std::size_t>(layer)];
    mine.insert(mine.end(), numbers.begin(), numbers.end());
    numbers = {};
  }
  auto const all = world.all_gather(std::as_bytes(std::span{mine}), world.in(deadline_s));
  std::vector<std::size_t> taken(all.size());   // windows of each rank
  std::vector<HeadSamples> heads(static_cast<std::size_t>(kv_heads_));
  std::vector<float> numbers(place_.end);
  for (std::int64_t const window : chosen_) {
    auto const rank = static_cast<std::size_t>(window) % all.size();
    std::memcpy(numbers.data(), all[rank].data() + taken[rank]++ * place_.end * sizeof(float), place_.end * sizeof(float));
    for (std::int32_t head = 0; head < kv_heads_; ++head) {
      HeadSamples& samples = heads[static_cast<std::size_t>(head)];
      (is_held_out(window) ? samples.held_out : samples.fit).push_back(window_of(numbers.data(), head));
    }
  }
  return heads;
}

}   // namespace pikv::runtime
