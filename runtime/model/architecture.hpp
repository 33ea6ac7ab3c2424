#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/gate.hpp"

namespace pikv::runtime {

/// RMSNorm of queries and keys before rope: none, over each head (weight [head_dim]), or over the whole projection (weight [heads * head_dim]).
enum class QkNorm { none, head, projection };

/// Where the experts of a layer stand: their keys in config.json, their tensors below "model.layers.N.".
struct ExpertNames {
  char const* count_key = nullptr;   // in config.json; null: dense, one expert and no gate
  char const* width_key = nullptr;
  std::string_view gate{};
  std::string_view prefix{};   // of an expert's tensors; where there are several, its number and a dot follow
  std::string_view w1{}, w2{}, w3{};
};

/// What sets one family of models apart from the rest, as data.
struct Architecture {
  std::string_view name;   // in "architectures"
  ExpertNames experts;
  std::optional<kernels::GateWeights> gate_weights;   // none: "norm_topk_prob" of config.json says
  QkNorm qk_norm = QkNorm::none;
  std::optional<float> rope_theta{};                      // transformers' default; none: config.json must say
  std::string expert_prefix(std::int32_t expert) const;   // "mlp.experts.3."
};

std::vector<Architecture> const& architectures();
/// The row of that name; null if there is none.
Architecture const* find_architecture(std::string_view name);

}   // namespace pikv::runtime
