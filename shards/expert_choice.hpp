#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "shards/homes.hpp"
#include "shards/segment.hpp"
#include "shards/store_options.hpp"

namespace pikv::shards {

/// Asks the home policy for the KV expert of each page, with what it wants to see. Pages keep their expert.
class ExpertChoice {
 public:
  explicit ExpertChoice(StoreOptions const& options);

  /// Whether experts follow from stream and block alone, so that they are known before a page is sealed, and the same in all layers.
  bool foretells() const { return !entry_.wants_mean_key && !entry_.wants_gate; }
  KvExpert foretell(StreamId const& stream, Block block) { return policy_->expert_of({stream, block, options_.kv_experts}); }
  bool wants_gate() const { return entry_.wants_gate; }
  /// Whether choose() and adopt() look at the page's keys.
  bool wants_keys() const { return entry_.wants_mean_key; }

  /// The model's gate in `layer`: probability [rows][experts] of the step's rows, which are those of its segments. It counts for the pages of the next.
  void gated(std::span<Segment const> segments, std::int32_t layer, float const* probability, std::int32_t experts);
  /// Of a page that is full now; its keys lie in `slot`.
  KvExpert choose(Stream const& stream, std::int32_t table, Block block, kernels::PoolView const& pool, std::int32_t slot);
  /// Of a page that comes back from a checkpoint, where it had this one.
  KvExpert adopt(Stream const& stream, std::int32_t table, Block block, kernels::PoolView const& pool, std::int32_t slot, KvExpert had);
  /// Block `from` and what follows are no more.
  void forget(Stream const& stream, Block from);
  void close(Stream const& stream);
  /// Of what it keeps, for the account.
  std::size_t bytes() const;

 private:
  SealedBlock sealed(Stream const& stream, std::int32_t table, Block block, kernels::PoolView const& pool, std::int32_t slot);
  struct GateSums {   // of blocks that are being filled
    Block first = 0;
    std::int32_t experts = 0;
    std::vector<float> sums;   // [blocks from first][layers][experts]
  };
  std::int32_t layers() const { return options_.layers / options_.tables_per_layer; }

  StoreOptions const& options_;
  std::unique_ptr<HomePolicy> policy_;
  HomePolicyEntry const& entry_;
  std::unordered_map<Stream const*, GateSums> gates_;
  std::vector<std::uint16_t> lo_, hi_;
  std::vector<float> mean_key_;
};

}  // namespace pikv::shards
