#include "runtime/model/placed_weights.hpp"

#include <set>
#include <utility>

namespace pikv::runtime {

namespace {

std::size_t bytes_of(kernels::MatrixView const& matrix) {
  return static_cast<std::size_t>(matrix.out) * static_cast<std::size_t>(matrix.in) * kernels::size_of(matrix.dtype);
}

}  // namespace

std::uint64_t weight_bytes(Model const& model) {
  std::set<std::pair<void const*, std::size_t>> counted;   // as PlacedWeights copies them
  std::uint64_t bytes = 0;
  auto const add = [&](void const* data, std::size_t size) {
    if (data != nullptr && counted.emplace(data, size).second) bytes += size;
  };
  auto const add_matrix = [&](kernels::MatrixView const& matrix) { add(matrix.data, bytes_of(matrix)); };
  for (std::int32_t l = 0; l < model.config().layers; ++l) {
    LayerWeights const& layer = model.layer(l);
    for (auto const* norm : {&layer.attention_norm, &layer.ffn_norm, &layer.q_norm, &layer.k_norm}) add(norm->data(), norm->size() * sizeof(float));
    for (auto const& matrix : {layer.q, layer.k, layer.v, layer.o, layer.gate}) add_matrix(matrix);
    for (ExpertWeights const& expert : layer.experts)
      for (auto const& matrix : {expert.w1, expert.w2, expert.w3}) add_matrix(matrix);
  }
  add(model.final_norm().data(), model.final_norm().size() * sizeof(float));
  add_matrix(model.head());
  return bytes;
}

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
  auto const [copy, is_new] = copies_.try_emplace({values.data(), values.size()}, device_);
  if (is_new) kernels::copy_in<std::byte>(device_, copy->second.resize(values.size()), values);
  return copy->second.data();
}

std::span<float const> PlacedWeights::placed(std::vector<float> const& values) {
  return {reinterpret_cast<float const*>(placed(std::as_bytes(std::span{values}))), values.size()};
}

kernels::MatrixView PlacedWeights::placed(kernels::MatrixView matrix) {
  if (matrix.data == nullptr) return matrix;
  matrix.data = placed({static_cast<std::byte const*>(matrix.data), bytes_of(matrix)});
  return matrix;
}

}  // namespace pikv::runtime
