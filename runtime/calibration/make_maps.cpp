#include "runtime/calibration/make_maps.hpp"

#include <Eigen/Core>

#include "shards/codecs/maps.hpp"
#include "shards/codecs/maps/matrix.hpp"

namespace pikv::runtime {
namespace {

/// [out][in] as fp32.
shards::FloatMatrix floats_of(kernels::MatrixView const& matrix) {
  shards::FloatMatrix values(matrix.out, matrix.in);
  auto const* const half = static_cast<std::uint16_t const*>(matrix.data);
  auto const n = values.size();
  switch (matrix.dtype) {
    case kernels::DType::f32: std::copy_n(static_cast<float const*>(matrix.data), n, values.data()); break;
    case kernels::DType::bf16: std::transform(half, half + n, values.data(), kernels::from_bf16); break;
    case kernels::DType::f16: std::transform(half, half + n, values.data(), kernels::from_f16); break;
  }
  return values;
}

void add_map(shards::MapFamily const& family, HeadMoments const& calibration, HeadMoments const& held_out, std::size_t part, CalibratedFamily& into) {
  auto const of = static_cast<Part>(part);
  FullMap map = family.from_moments(calibration, of);
  HeldOut errors;
  for (std::int32_t const rank : shards::rank_steps(calibration.head_dim)) errors.add(shards::map_error(shards::map_of_rank(map, rank), held_out, of));
  into.maps[part].push_back(std::move(map));
  into.held_out[part].push_back(std::move(errors));
}

}   // namespace

std::vector<double> output_gram(kernels::MatrixView const& o, std::int32_t q_heads, std::int32_t kv_heads, std::int32_t head) {
  Eigen::MatrixXd const weights = floats_of(o).cast<double>();
  Eigen::Index const d = weights.cols() / q_heads, group = q_heads / kv_heads;
  Eigen::MatrixXd gram = Eigen::MatrixXd::Zero(d, d);
  for (Eigen::Index of_group = 0; of_group < group; ++of_group) {
    auto const of_head = weights.middleCols((head * group + of_group) * d, d);
    gram.noalias() += of_head.transpose() * of_head;
  }
  return {gram.data(), gram.data() + gram.size()};
}

void make_maps(Model const& model, MomentSums const& calibration, MomentSums const& held_out, CalibrationData& data) {
  ModelConfig const& config = model.config();
  for (std::int32_t layer = 0; layer < config.layers; ++layer)
    for (std::int32_t head = 0; head < config.kv_heads; ++head) {
      HeadMoments moments = calibration.moments(layer, head), later = held_out.moments(layer, head);
      moments.o_gram = later.o_gram = output_gram(model.layer(layer).o, config.q_heads, config.kv_heads, head);
      for (std::size_t part = 0; part < 2; ++part) {
        data.held_out_size[part].emplace_back().add(shards::size_of_part(later, static_cast<Part>(part)));
        for (auto const& [name, family] : shards::map_families())
          if (family.from_moments != nullptr) add_map(family, moments, later, part, data.families[std::string{name}]);
      }
      data.moments.push_back(std::move(moments));
      data.held_out_moments.push_back(std::move(later));
    }
}

}   // namespace pikv::runtime
