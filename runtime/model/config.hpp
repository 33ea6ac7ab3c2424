#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/model/architecture.hpp"

namespace pikv::runtime {

/// What config.json says of a decoder-only model; a dense one has experts = 1 and no gate.
struct ModelConfig {
  std::string architecture{};   // a name of architecture.hpp
  std::int32_t vocab = 0, hidden = 0, layers = 0;
  std::int32_t q_heads = 0, kv_heads = 0, head_dim = 0;
  std::int32_t intermediate = 0;   // of one expert
  std::int32_t experts = 1, experts_per_token = 1;
  kernels::GateWeights gate_weights = kernels::GateWeights::sum_to_one;
  bool equal_experts = false;   // all are one network, stored as expert 0 (docs/files.md)
  QkNorm qk_norm = QkNorm::none;
  float rms_eps = 1e-5f, rope_theta = 10000.f;
  std::int32_t max_positions = 0;
  bool tied_embedding = false;
  std::int32_t bos = -1;   // -1: none
  std::vector<std::int32_t> eos{};
  bool moe() const { return experts > 1; }
};

/// Reads DIR/config.json; old and new names (rope_theta or rope_parameters, one or several eos ids). Where transformers has a default
/// that old files rely on, so do we: num_key_value_heads (all heads), head_dim (hidden_size / heads), rope_theta, norm_topk_prob (false).
/// Throws InputError that names the file and the key: missing, of another type or range, or not supported
/// (sliding window shorter than the context, scaled rope, attention bias, clipped qkv, dense layers among those with experts, another
/// activation, unknown architecture).
ModelConfig read_config(std::filesystem::path const& dir);

}   // namespace pikv::runtime
