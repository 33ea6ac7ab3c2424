#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/page_summaries.hpp"
#include "runtime/routing/routers.hpp"
#include "runtime/scheduling/scheduler.hpp"
#include "shards/cache_policy.hpp"
#include "shards/store_options.hpp"

namespace pikv::runtime {

enum class AttentionMode { exact, routed, certified };

struct ReadSettings {
  AttentionMode mode = AttentionMode::exact;
  std::string router = "topk";
  shards::KvExpert kv_experts = shards::default_kv_experts;
  std::int32_t experts = 0;        // read per query; 0: all
  std::int32_t read_pages = 0;     // per query and table, pinned ones included; 0: all
  double max_error = 0;            // certified: skipped mass per head, at most
  std::uint64_t seed = 0;

  bool chooses() const { return mode != AttentionMode::exact; }
  bool wants_summaries() const { return chooses(); }
};

/// Which pages a row of queries reads, of those that exist: pinned ones always (the first, those of the window, the one being filled).
class ReadChoice {
 public:
  ReadChoice(ReadSettings settings, shards::StoreOptions const& store);
  bool wants_summaries() const { return settings_.wants_summaries(); }

  struct Row {
    shards::Stream const& stream;
    std::int32_t table = 0;
    std::int64_t position = 0;
    PageSummaries const& summaries;
    Block window = 0;              // pages from here on are pinned
  };
  /// routed: the pages of the KV experts that the router chooses, of these the `read_pages` with the highest upper bounds.
  /// certified: a first guess.
  void choose(Row const& row, float const* q, std::vector<Block>& blocks);
  /// certified: what must be read besides, so that no head skips more than max_error of its softmax.
  void choose_more(PageSummaries const& summaries, shards::PageMasses const& found, float const* q, std::span<Block const> unread, std::vector<Block>& more);
  /// As a scheduler that selects says: ceil(keep * pages) of them, pinned ones included.
  void select(Scheduler& scheduler, std::int32_t table, std::span<float const> q, Block window, double keep, std::vector<Block>& blocks);

 private:
  void keep_best(Block window, std::size_t most, std::span<float const> score, std::vector<Block>& blocks);

  ReadSettings settings_;
  shards::StoreOptions const& store_;
  std::vector<Block> loose_;       // pages that are not pinned
  std::vector<float> score_;
  std::vector<std::size_t> order_;
};

}  // namespace pikv::runtime
