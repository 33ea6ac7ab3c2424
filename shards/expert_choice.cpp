#include "shards/expert_choice.hpp"

#include <algorithm>

#include "kernels/summary.hpp"

namespace pikv::shards {

namespace {
std::size_t index(std::int32_t i) { return static_cast<std::size_t>(i); }
}  // namespace

ExpertChoice::ExpertChoice(StoreOptions const& options)
    : options_{options}, policy_{make_home_policy(options.home)}, entry_{home_policies().at(options.home)} {
  std::size_t const scalars = index(options.layout.kv_heads) * index(options.layout.head_dim);
  lo_.resize(scalars);
  hi_.resize(scalars);
  mean_key_.resize(scalars);
}

void ExpertChoice::gated(std::span<Segment const> segments, std::int32_t layer, float const* probability, std::int32_t experts) {
  std::size_t const block_floats = index(layers()) * index(experts);
  for (Segment const& segment : segments) {
    GateSums& gate = gates_[segment.stream];
    std::int64_t const begin = segment.stream->length(), end = begin + segment.rows;
    Block const first = block_of(begin, options_.layout.page_tokens), last = block_of(end - 1, options_.layout.page_tokens);
    if (gate.experts == 0) gate = {first, experts, {}};
    if (Block const unsealed = std::min(first, segment.stream->sealed()); gate.first < unsealed) {   // what was sealed is not needed any more
      gate.sums.erase(gate.sums.begin(), gate.sums.begin() + static_cast<std::ptrdiff_t>(std::min(gate.sums.size(), index(unsealed - gate.first) * block_floats)));
      gate.first = unsealed;
    }
    gate.sums.resize(std::max(gate.sums.size(), index(last - gate.first + 1) * block_floats));
    for (std::int64_t position = begin; position < end; ++position, probability += experts) {
      Block const block = block_of(position, options_.layout.page_tokens);
      float* const sums = gate.sums.data() + index(block - gate.first) * block_floats + index(layer) * index(experts);
      for (std::int32_t e = 0; e < experts; ++e) sums[e] += probability[e];
    }
  }
}

SealedBlock ExpertChoice::sealed(Stream const& stream, std::int32_t table, Block block, kernels::PoolView const& pool, std::int32_t slot) {
  SealedBlock sealed{stream.id(), block, options_.kv_experts, table, options_.layers, {}, {}};
  if (entry_.wants_mean_key) {
    kernels::host::summarise(pool, slot, options_.layout.page_tokens, {lo_.data(), hi_.data(), mean_key_.data()});
    sealed.mean_key = mean_key_;
  }
  std::int32_t const layer = table / options_.tables_per_layer;
  auto const gate = gates_.find(&stream);
  if (entry_.wants_gate && layer > 0 && gate != gates_.end() && block >= gate->second.first) {
    std::size_t const at = (index(block - gate->second.first) * index(layers()) + index(layer - 1)) * index(gate->second.experts);
    if (at + index(gate->second.experts) <= gate->second.sums.size()) sealed.gate = std::span{gate->second.sums}.subspan(at, index(gate->second.experts));
  }
  return sealed;
}

KvExpert ExpertChoice::choose(Stream const& stream, std::int32_t table, Block block, kernels::PoolView const& pool, std::int32_t slot) {
  return policy_->expert_of(sealed(stream, table, block, pool, slot));
}

KvExpert ExpertChoice::adopt(Stream const& stream, std::int32_t table, Block block, kernels::PoolView const& pool, std::int32_t slot, KvExpert had) {
  if (foretells() || had < 0 || had >= options_.kv_experts) return choose(stream, table, block, pool, slot);
  policy_->adopt(sealed(stream, table, block, pool, slot), had);
  return had;
}

void ExpertChoice::forget(Stream const& stream, Block from) {
  policy_->forget(stream.id(), from);
  auto const gate = gates_.find(&stream);
  if (gate == gates_.end()) return;
  if (from <= gate->second.first) {
    gates_.erase(gate);
  } else {
    std::size_t const kept = index(from - gate->second.first) * index(layers()) * index(gate->second.experts);
    gate->second.sums.resize(std::min(kept, gate->second.sums.size()));
  }
}

std::size_t ExpertChoice::bytes() const {
  std::size_t bytes = policy_->bytes();
  for (auto const& [stream, gate] : gates_) bytes += gate.sums.size() * sizeof(float);
  return bytes;
}

void ExpertChoice::close(Stream const& stream) {
  policy_->close(stream.id());
  gates_.erase(&stream);
}

}  // namespace pikv::shards
