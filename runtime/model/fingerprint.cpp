#include "runtime/model/fingerprint.hpp"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <memory>

namespace pikv::runtime {
namespace {

constexpr std::size_t hashed_bytes = std::size_t{1} << 20;

std::string canonical(ModelConfig const& c) {
  return fmt::format("{} {} {} {} {} {} {} {} {} {} {:a} {:a} {}", c.architecture, c.vocab, c.hidden, c.layers, c.q_heads, c.kv_heads, c.head_dim,
                     c.intermediate, c.experts, c.experts_per_token, c.rms_eps, c.rope_theta, static_cast<int>(c.gate_weights));
}

}   // namespace

shards::Fingerprint fingerprint_of(ModelConfig const& config, Checkpoint const& checkpoint) {
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> const state{XXH3_createState(), XXH3_freeState};
  XXH3_128bits_reset(state.get());
  auto const add_tensor = [&](std::string const& name) {
    auto const& tensor = checkpoint.tensors().at(name);
    auto const bytes = static_cast<std::size_t>(tensor.count()) * kernels::size_of(tensor.dtype);
    XXH3_128bits_update(state.get(), tensor.data, std::min(bytes, hashed_bytes));
  };

  auto const text = canonical(config);
  XXH3_128bits_update(state.get(), text.data(), text.size());
  add_tensor("model.embed_tokens.weight");
  std::vector<std::string> parts{"input_layernorm", "self_attn.k_proj", "self_attn.v_proj"};
  if (config.qk_norm != QkNorm::none) parts.push_back("self_attn.k_norm");
  for (std::int32_t l = 0; l < config.layers; ++l)
    for (auto const& part : parts) add_tensor(fmt::format("model.layers.{}.{}.weight", l, part));
  auto const hash = XXH3_128bits_digest(state.get());
  return {hash.high64, hash.low64};
}

}   // namespace pikv::runtime
