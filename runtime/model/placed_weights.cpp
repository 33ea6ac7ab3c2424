#include "runtime/model/placed_weights.hpp"

namespace pikv::runtime {

PlacedWeights::PlacedWeights(Model const& model, kernels::Device& device) : device_{device} {
  for (std::int32_t l = 0; l < model.config().layers; ++l) {
    LayerWeights const& from = model.layer(l);
    PlacedLayer& to = layers_.emplace_back();
    to.attention_norm = placed(from.attention_norm);
    to.ffn_norm = placed(from.ffn_norm);
    to.q_norm = placed(from.q_norm);
    to.k_norm = placed(from.k_norm);
    to.q = placed(from.q);
    to.k = placed(from.k);
    to.v = placed(from.v);
    to.o = placed(from.o);
    to.gate = placed(from.gate);
    for (ExpertWeights const& expert : from.experts) to.experts.push_back({placed(expert.w1), placed(expert.w2), placed(expert.w3)});
  }
  final_norm_ = placed(model.final_norm());
  head_ = placed(model.head());
}

std::byte const* PlacedWeights::placed(std::span<std::byte const> values) {
  if (device_.is_host() || values.empty()) return values.data();
  auto const [copy, is_new] = copies_.try_emplace(values.data(), device_);
  if (is_new) kernels::copy_in<std::byte>(device_, copy->second.resize(values.size()), values);
  return copy->second.data();
}

std::span<float const> PlacedWeights::placed(std::vector<float> const& values) {
  return {reinterpret_cast<float const*>(placed(std::as_bytes(std::span{values}))), values.size()};
}

kernels::MatrixView PlacedWeights::placed(kernels::MatrixView matrix) {
  if (matrix.data == nullptr) return matrix;
  std::size_t const bytes = static_cast<std::size_t>(matrix.out) * static_cast<std::size_t>(matrix.in) * kernels::size_of(matrix.dtype);
  matrix.data = placed({static_cast<std::byte const*>(matrix.data), bytes});
  return matrix;
}

}  // namespace pikv::runtime
