#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "kernels/stream.hpp"
#include "runtime/layer_probe.hpp"
#include "shards/plan.hpp"
#include "shards/store.hpp"

namespace pikv::runtime {

/// What attention over a part of the cache kept of exact attention: of the same queries, over all keys and values of the run, in fp32
/// (methods 6). One value per generated row, layer and, for recall, query head.
struct AttentionFidelity {
  std::vector<float> recall;         // share of the exact softmax that fell on pages that were read
  std::vector<float> output_error;   // |out - exact| / |exact| over the concatenated heads
  std::uint64_t pages_read = 0, pages_kept = 0, pages_ever = 0;   // summed over generated rows and page tables
  std::uint64_t bytes_read = 0, bytes_kept = 0;                   // payload of the pages read, of those kept, likewise
};

/// Keeps every key and value of this rank's streams beside the store, attends them exactly, and compares. Costs fp32 copies of all pages and
/// as much arithmetic again: for measuring, not for serving.
class Shadow : public LayerProbe {
 public:
  explicit Shadow(shards::Store const& store);
  void attended(std::int32_t layer, Batch const& batch, float const* q, float const* k, float const* v, float const* out) override;
  void ended(shards::StreamId const& stream) override { streams_.erase(stream); }
  AttentionFidelity const& fidelity() const { return fidelity_; }

 private:
  using Pages = std::vector<float>;   // slot = block * tables of the model + table
  kernels::PoolView pool(Pages& pages) const;
  void append(std::int32_t layer, Batch const& batch, float const* k, float const* v);
  void compare(std::int32_t layer, shards::Segment const& segment, float const* q, float const* out);
  void add_recall(std::int32_t layer, shards::Segment const& segment, kernels::PartialView exact);

  shards::Store const& store_;
  kernels::PageLayout layout_;
  std::size_t slot_bytes_;
  kernels::Stream host_;
  std::unordered_map<shards::StreamId, Pages> streams_;
  shards::Plan plan_;
  shards::PartialBuffer partial_{kernels::host_device()};
  std::vector<float> page_lse_, exact_;
  std::vector<bool> read_;
  AttentionFidelity fidelity_;
};

}  // namespace pikv::runtime
