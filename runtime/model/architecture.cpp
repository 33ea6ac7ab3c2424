#include "runtime/model/architecture.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace pikv::runtime {
namespace {

using kernels::GateWeights;

constexpr ExpertNames dense{nullptr, "intermediate_size", "", "mlp.", "gate_proj", "down_proj", "up_proj"};
constexpr ExpertNames mixtral{"num_local_experts", "intermediate_size", "block_sparse_moe.gate", "block_sparse_moe.experts.", "w1", "w2", "w3"};
constexpr ExpertNames qwen3{"num_experts", "moe_intermediate_size", "mlp.gate", "mlp.experts.", "gate_proj", "down_proj", "up_proj"};
constexpr ExpertNames olmoe{"num_experts", "intermediate_size", "mlp.gate", "mlp.experts.", "gate_proj", "down_proj", "up_proj"};

}   // namespace

std::string Architecture::expert_prefix(std::int32_t expert) const {
  return experts.count_key ? fmt::format("{}{}.", experts.prefix, expert) : std::string{experts.prefix};
}

std::vector<Architecture> const& architectures() {
  static std::vector<Architecture> const rows{
      {.name = "MixtralForCausalLM", .experts = mixtral, .gate_weights = GateWeights::sum_to_one},
      {.name = "LlamaForCausalLM", .experts = dense, .gate_weights = GateWeights::sum_to_one, .rope_theta = 10000.f},
      {.name = "Qwen3MoeForCausalLM", .experts = qwen3, .gate_weights = {}, .qk_norm = QkNorm::head},
      {.name = "Qwen3ForCausalLM", .experts = dense, .gate_weights = GateWeights::sum_to_one, .qk_norm = QkNorm::head},
      {.name = "OlmoeForCausalLM", .experts = olmoe, .gate_weights = {}, .qk_norm = QkNorm::projection, .rope_theta = 10000.f}};
  return rows;
}

Architecture const* find_architecture(std::string_view name) {
  auto const found = std::ranges::find(architectures(), name, &Architecture::name);
  return found == architectures().end() ? nullptr : &*found;
}

}   // namespace pikv::runtime
