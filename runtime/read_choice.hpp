#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/page_summaries.hpp"
#include "runtime/routing/expert_history.hpp"
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
  std::int32_t groups = 8;         // of KV experts that count as near each other, for `hierarchical`, which opens 4
  std::uint64_t seed = 0;

  bool chooses() const { return mode != AttentionMode::exact; }
  bool wants_summaries() const { return chooses(); }
};

/// Which pages a row of queries reads, of those that exist: pinned ones always (the first, those of the window, the one being filled).
class ReadChoice {
 public:
  ReadChoice(ReadSettings settings, shards::StoreOptions const& store);
  bool wants_summaries() const { return settings_.wants_summaries(); }
  /// Whether the router wants observe(), to learn from.
  bool learns() const { return entry_ != nullptr && entry_->learns; }

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
  /// What a row that chose has found, for a router that learns.
  void observe(PageSummaries const& summaries, shards::PageMasses const& found, float const* q);
  /// How likely a KV expert is to be read, of late: 1 for the likeliest; 1 for all where no router chooses.
  float likelihood(KvExpert expert) const;
  /// Of the pages of a KV expert in one table, this share was just evicted.
  void evicted(KvExpert expert, double share) { history_.evicted(expert, share); }
  /// A page of a KV expert is stored with this error, relative to its keys.
  void encoded(KvExpert expert, float error);
  void end_step();
  /// As a scheduler that selects says: ceil(keep * pages) of them, pinned ones included.
  void select(Scheduler& scheduler, shards::TableRows const& row, std::span<float const> q, Block window, double keep, std::vector<Block>& blocks);

 private:
  void keep_best(std::size_t most, std::span<float const> score, std::vector<Block>& blocks);
  void split(shards::Stream const& stream, std::int32_t table, std::span<Block const> blocks, Block window);
  void route(Row const& row, std::span<float const> q, std::vector<Block>& blocks);
  void read_best(Row const& row, float const* q, std::vector<Block>& blocks);
  void exact_masses(PageSummaries const& summaries, shards::PageMasses const& found, float const* q);
  void guess(Row const& row, std::span<float const> q, std::vector<Block>& blocks);
  std::size_t width() const { return static_cast<std::size_t>(store_.q_heads) * static_cast<std::size_t>(store_.layout.head_dim); }

  ReadSettings settings_;
  shards::StoreOptions const& store_;
  RouterEntry const* entry_ = nullptr;   // null where no router chooses
  std::unique_ptr<Router> router_;
  ExpertHistory history_;
  std::vector<std::uint32_t> reads_;     // by expert, queries of this step that chose it
  std::vector<float> error_;             // by expert, of its pages of late
  std::vector<double> far_, seen_;       // by expert, pages on other ranks, and all, that queries of this step met
  double pages_read_ = 0, mean_pages_ = 0, recall_ = 0;
  std::uint64_t rows_ = 0, recalls_ = 0;
  std::vector<Block> loose_;       // pages that are not pinned
  std::vector<Block> pinned_;
  std::vector<float> score_, mass_, low_, expert_mass_, affinity_, head_, read_;
  std::vector<std::size_t> order_;
  std::vector<KvExpert> expert_of_, chosen_;
  std::vector<std::int32_t> picked_;
};

}  // namespace pikv::runtime
