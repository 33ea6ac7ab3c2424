#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "kernels/buffer.hpp"
#include "runtime/model/model.hpp"

namespace pikv::runtime {

/// What copies of a model's weights take.
std::uint64_t weight_bytes(Model const& model);

/// LayerWeights in a device's memory.
struct PlacedLayer {
  std::span<float const> attention_norm, ffn_norm, q_norm, k_norm;
  kernels::MatrixView q, k, v, o, gate;
  std::vector<ExpertWeights> experts;
};

/// A model's weights where a device reads them: on the host those of the model itself, else copies that are made once. The embedding, of which a step
/// reads a few rows, stays on the host. Model and device outlive it.
class PlacedWeights {
 public:
  PlacedWeights(Model const& model, kernels::Device& device);
  PlacedWeights(PlacedWeights const&) = delete;   // would hide a transfer

  PlacedLayer const& layer(std::int32_t l) const { return layers_[static_cast<std::size_t>(l)]; }
  std::span<float const> final_norm() const { return final_norm_; }
  kernels::MatrixView head() const { return head_; }
  kernels::Device& device() const { return device_; }

 private:
  std::byte const* placed(std::span<std::byte const> values);
  std::span<float const> placed(std::vector<float> const& values);
  kernels::MatrixView placed(kernels::MatrixView matrix);

  kernels::Device& device_;
  // By what they are copied from: equal experts are one, and tied embeddings.
  std::map<std::pair<std::byte const*, std::size_t>, kernels::Buffer<std::byte>> copies_;
  std::vector<PlacedLayer> layers_;
  std::span<float const> final_norm_;
  kernels::MatrixView head_;
};

}  // namespace pikv::runtime
