#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace pikv::runtime {

/// What config.json says of a decoder-only model, Mixtral or Llama (the one-expert case: experts = 1, no gate).
struct ModelConfig {
  std::string architecture{};   // "MixtralForCausalLM", "LlamaForCausalLM"
  std::int32_t vocab = 0, hidden = 0, layers = 0;
  std::int32_t q_heads = 0, kv_heads = 0, head_dim = 0;
  std::int32_t intermediate = 0;   // of one expert
  std::int32_t experts = 1, experts_per_token = 1;
  float rms_eps = 1e-5f, rope_theta = 10000.f;
  std::int32_t max_positions = 0;
  bool tied_embedding = false;
  std::int32_t bos = -1;   // -1: none
  std::vector<std::int32_t> eos{};
  bool moe() const { return experts > 1; }
};

/// Reads DIR/config.json; old and new names (rope_theta or rope_parameters, one or several eos ids). Where transformers has a default
/// that old files rely on, so do we: num_key_value_heads (all heads), head_dim (hidden_size / heads), rope_theta (Llama: 10000).
/// Throws InputError that names the file and the key: missing, of another type or range, or not supported
/// (sliding window shorter than the context, scaled rope, attention bias, clipped qkv, another activation, unknown architecture).
ModelConfig read_config(std::filesystem::path const& dir);

}   // namespace pikv::runtime
