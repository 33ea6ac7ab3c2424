#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/page_summaries.hpp"
#include "runtime/read_choice.hpp"
#include "runtime/scheduling/retention.hpp"
#include "runtime/scheduling/schedulers.hpp"
#include "shards/cache_policy.hpp"
#include "shards/store.hpp"

namespace pikv::runtime {

/// What of the cache is read and kept, as the options say (interface.md).
struct CacheSettings {
  std::string scheduler = "none";     // or a codec that selects tokens (scheduling/selections.hpp)
  double keep = 1;                    // share of each stream's tokens; of those read for a scheduler that selects
  double redundancy = 0;              // gamma of methods 4.12
  std::int32_t window = 64;           // newest tokens that are pinned
  ReadSettings read;

  /// Nothing to decide: every page is kept and read.
  bool trivial() const { return scheduler == "none" && !read.chooses(); }
};

/// Page tables of a layer under a scheduler: 1, or one per KV head.
std::int32_t tables_per_layer(std::string const& scheduler, std::int32_t kv_heads);

/// The policies of one home, applied to its streams: passes on what the store tells, answers what it asks, and evicts after each step,
/// or moves pages between tiers. Nothing is evicted before a stream's prompt is in, and prompt rows read every page. Pinned: the first page, those with the last
/// `window` tokens, and the one being filled.
class CacheManager : public shards::CachePolicy {
 public:
  CacheManager(CacheSettings settings, shards::StoreOptions const& store);
  ~CacheManager() override;

  void begin(shards::Stream const& stream, std::int64_t prompt_tokens);
  void end(shards::Stream const& stream);
  /// Between steps: what this step's streams no longer need is evicted.
  void after_step(shards::Store& store, std::span<shards::Segment const> stepped);

  /// What its policies know of a stream, for a checkpoint between steps; not what a router has learned from all streams of this home.
  std::string save(shards::Stream const& stream) const;
  /// Into a stream that has begun, as long as it was then, whose pages are back or evicted: it goes on as if nothing had happened. Throws RunError.
  void restore(shards::Stream const& stream, std::string_view state);

  /// Bytes of summaries now, for the account.
  std::size_t summary_bytes() const;
  /// Per page that is sealed, at most.
  static std::size_t summary_bytes_per_page(CacheSettings const& settings, kernels::PageLayout const& layout);

  bool chooses(shards::Stream const& stream, std::int64_t position) const override;
  void choose(shards::TableRows const& row, float const* q, std::vector<shards::Block>& blocks) override;
  int rounds() const override { return settings_.read.mode == AttentionMode::certified ? 2 : 1; }
  void choose_more(shards::PageMasses const& found, float const* q, std::span<shards::Block const> unread, std::vector<shards::Block>& more) override;
  bool watches(shards::TableRows const& rows) const override;
  void observe(shards::PageMasses const& found, float const* q) override;
  void sealed(shards::Stream const& stream, std::int32_t table, shards::Block block, kernels::PoolView const& pool, std::int32_t slot) override;
  void encoded(shards::Stream const& stream, std::int32_t table, shards::Block block, kernels::CodedErrors const& errors) override;
  void forgotten(shards::Stream const& stream, shards::Block from) override;

 private:
  struct Layer {
    std::unique_ptr<Scheduler> scheduler;    // null for `none`
    std::vector<PageSummaries> summaries;    // by table; empty if nobody wants them
  };
  struct Tracked {
    std::int64_t prompt_tokens = 0;
    std::vector<Layer> layers;
    bool over = false;                       // something could not be evicted yet
  };
  void start(Tracked& stream) const;
  Tracked& tracked(shards::Stream const& stream);
  shards::Block first_of_window(std::int64_t length) const;
  void place(shards::Store& store, shards::Stream& stream, Tracked& state);
  void evict(shards::Store& store, shards::Stream& stream, Tracked& state);
  void tell_router(shards::Stream const& stream, std::int32_t layer);

  CacheSettings settings_;
  SchedulerEntry const& entry_;
  shards::StoreOptions const& store_;
  std::unique_ptr<ReadChoice> read_;         // null where every page is read
  std::unordered_map<shards::Stream const*, Tracked> streams_;
  std::vector<std::vector<HeldPage>> held_;
  std::vector<Eviction> evictions_;
  std::vector<float> mass_;
  std::vector<shards::Block> pages_;         // of one table, for place(): which, where, how hot
  std::vector<std::int32_t> now_;
  std::vector<float> utility_;
  std::vector<double> reads_per_step_;
};

}  // namespace pikv::runtime
