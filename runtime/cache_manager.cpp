#include "runtime/cache_manager.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>

#include "runtime/fast_share.hpp"
#include "runtime/scheduling/flexgen.hpp"
#include "runtime/scheduling/selections.hpp"

namespace pikv::runtime {

using shards::Block;
using shards::PageMasses;
using shards::Stream;
using shards::TableRows;

std::int32_t tables_per_layer(std::string const& scheduler, std::int32_t kv_heads) { return policy_named(scheduler).by_head ? kv_heads : 1; }

CacheManager::CacheManager(CacheSettings settings, shards::StoreOptions const& store)
    : settings_{std::move(settings)}, entry_{policy_named(settings_.scheduler)}, store_{store}, held_(static_cast<std::size_t>(store.tables_per_layer)) {
  if (settings_.read.chooses() || entry_.kind == SchedulerKind::selection) read_ = std::make_unique<ReadChoice>(settings_.read, store);
}

CacheManager::~CacheManager() = default;

void CacheManager::begin(Stream const& stream, std::int64_t prompt_tokens) {
  Tracked& state = streams_[&stream];
  state.prompt_tokens = prompt_tokens;
  start(state);
}

void CacheManager::start(Tracked& stream) const {
  stream.layers.clear();
  stream.over = false;
  LayerShape shape{.layer = 0, .layers = store_.layers / store_.tables_per_layer, .tables = store_.tables_per_layer, .kv_heads = store_.layout.kv_heads,
                   .q_heads = store_.q_heads, .head_dim = store_.layout.head_dim, .page_tokens = store_.layout.page_tokens};
  stream.layers.resize(static_cast<std::size_t>(shape.layers));
  bool const summaries = entry_.summaries || settings_.redundancy > 0 || (read_ && read_->wants_summaries());
  std::vector<Scheduler*> before;
  for (Layer& layer : stream.layers) {
    if (summaries) layer.summaries.assign(static_cast<std::size_t>(shape.tables), PageSummaries{shape.kv_heads, shape.head_dim});
    if (entry_.make != nullptr) {
      layer.scheduler = entry_.make({shape, layer.summaries, settings_.keep, before});
      layer.scheduler->begin(stream.prompt_tokens);
      before.push_back(layer.scheduler.get());
    }
    ++shape.layer;
  }
}

void CacheManager::end(Stream const& stream) { streams_.erase(&stream); }

CacheManager::Tracked& CacheManager::tracked(Stream const& stream) { return streams_.at(&stream); }

Block CacheManager::first_of_window(std::int64_t length) const {
  return shards::block_of(std::max<std::int64_t>(length - settings_.window, 0), store_.layout.page_tokens);
}

bool CacheManager::chooses(Stream const& stream, std::int64_t position) const {
  return read_ != nullptr && position >= streams_.at(&stream).prompt_tokens;
}

void CacheManager::choose(TableRows const& row, float const* q, std::vector<Block>& blocks) {
  std::int32_t const layer = row.table / store_.tables_per_layer, table = row.table % store_.tables_per_layer;
  Layer& of = tracked(*row.stream).layers[static_cast<std::size_t>(layer)];
  Block const window = first_of_window(row.first_position + 1);
  if (entry_.kind == SchedulerKind::selection)
    read_->select(*of.scheduler, row, {q, static_cast<std::size_t>(store_.q_heads * store_.layout.head_dim)}, window, settings_.keep, blocks);
  else
    read_->choose({*row.stream, row.table, row.first_position, of.summaries[static_cast<std::size_t>(table)], window}, q, blocks);
}

void CacheManager::choose_more(PageMasses const& found, float const* q, std::span<Block const> unread, std::vector<Block>& more) {
  std::int32_t const layer = found.of.table / store_.tables_per_layer, table = found.of.table % store_.tables_per_layer;
  Layer& of = tracked(*found.of.stream).layers[static_cast<std::size_t>(layer)];
  read_->choose_more(of.summaries[static_cast<std::size_t>(table)], found, q, unread, more);
}

bool CacheManager::watches(TableRows const& rows) const {
  auto const layer = static_cast<std::size_t>(rows.table / store_.tables_per_layer);
  bool const scheduler = (entry_.masses || entry_.queries) && streams_.at(rows.stream).layers[layer].scheduler->watches();
  return scheduler || (read_ && read_->learns() && rows.rows == 1 && chooses(*rows.stream, rows.first_position));
}

void CacheManager::observe(PageMasses const& found, float const* q) {
  std::int32_t const layer = found.of.table / store_.tables_per_layer, table = found.of.table % store_.tables_per_layer;
  auto const heads = static_cast<std::size_t>(store_.q_heads), rows = static_cast<std::size_t>(found.of.rows);
  Layer& of = tracked(*found.of.stream).layers[static_cast<std::size_t>(layer)];
  if (read_ && read_->learns() && rows == 1 && chooses(*found.of.stream, found.of.first_position))
    read_->observe(of.summaries[static_cast<std::size_t>(table)], found, q);
  if (!of.scheduler) return;
  Scheduler& scheduler = *of.scheduler;
  std::size_t const width = heads * static_cast<std::size_t>(store_.layout.head_dim);
  if (entry_.queries)
    for (std::size_t row = 0; row < rows; ++row)
      scheduler.query(table, found.of.first_position + static_cast<std::int64_t>(row), {q + row * width, width});
  if (!entry_.masses || !scheduler.watches()) return;
  mass_.resize(found.blocks.size() * rows * heads);
  for (std::size_t i = 0; i < mass_.size(); ++i) mass_[i] = std::exp(found.page_lse[i] - found.lse[i % (rows * heads)]);
  scheduler.read({table, found.of.first_position, found.of.rows, found.blocks, mass_});
}

void CacheManager::sealed(Stream const& stream, std::int32_t table, Block block, kernels::PoolView const& pool, std::int32_t slot) {
  auto& summaries = tracked(stream).layers[static_cast<std::size_t>(table / store_.tables_per_layer)].summaries;
  if (!summaries.empty()) summaries[static_cast<std::size_t>(table % store_.tables_per_layer)].add(block, pool, slot, store_.layout.page_tokens);
}

void CacheManager::encoded(Stream const& stream, std::int32_t table, Block block, kernels::CodedErrors const& errors) {
  auto& summaries = tracked(stream).layers[static_cast<std::size_t>(table / store_.tables_per_layer)].summaries;
  if (summaries.empty()) return;
  PageSummaries& of = summaries[static_cast<std::size_t>(table % store_.tables_per_layer)];
  of.set_key_errors(block, errors.k);
  if (read_) read_->encoded(stream.directory().at(table, block).expert, of.relative_key_error(block));
}

void CacheManager::forgotten(Stream const& stream, Block from) {
  auto const found = streams_.find(&stream);
  if (found == streams_.end()) return;
  if (from == 0) return start(found->second);
  for (Layer& layer : found->second.layers) {
    for (PageSummaries& summaries : layer.summaries) summaries.forget(from);
    if (!layer.scheduler) continue;
    for (std::int32_t table = 0; table < store_.tables_per_layer; ++table)
      for (Block block = from; block < stream.directory().blocks(); ++block) layer.scheduler->forget(table, block);
  }
}

void CacheManager::after_step(shards::Store& store, std::span<shards::Segment const> stepped) {
  if (read_) read_->end_step();
  for (shards::Segment const& segment : stepped) {
    auto const found = streams_.find(segment.stream);
    if (found == streams_.end()) continue;   // it has ended, and is no more
    Stream& stream = *segment.stream;
    Tracked& state = found->second;
    for (Layer& layer : state.layers)
      if (layer.scheduler) layer.scheduler->tick();
    bool const sealed_one = stream.length() / store_.layout.page_tokens > (stream.length() - segment.rows) / store_.layout.page_tokens;
    bool const prompt_ended = stream.length() >= state.prompt_tokens && stream.length() - segment.rows < state.prompt_tokens;
    if (entry_.kind == SchedulerKind::retention && stream.length() >= state.prompt_tokens && (sealed_one || prompt_ended || state.over))
      evict(store, stream, state);
    if (store_.tiers && sealed_one) place(store, stream, state);
  }
}

namespace {

// What a read costs, in rough figures: placement only compares them, and shall decide alike everywhere.
constexpr Tier fast_tier{.pages = 0, .latency_s = 0, .bytes_per_second = 100e9}, host_tier{.pages = 0, .latency_s = 10e-6, .bytes_per_second = 12e9},
    file_tier{.pages = 0, .latency_s = 100e-6, .bytes_per_second = 1e9};

}  // namespace

// What stays counts the block that is open, or will be when the next token comes.
void CacheManager::place(shards::Store& store, Stream& stream, Tracked& state) {
  std::int32_t const page = store_.layout.page_tokens, tables = store_.tables_per_layer;
  Block const blocks = shards::block_of(stream.length(), page) + 1, window = std::min(first_of_window(stream.length()), stream.directory().blocks());
  Block const fast = FastShare{settings_.keep, settings_.window, page}.blocks(blocks);
  for (std::int32_t of = 0; of < store_.layers; ++of) {
    pages_.clear();
    now_.clear();
    for (Block block = 1; block < window; ++block) {
      shards::DirectoryEntry const& entry = stream.directory().at(of, block);
      if (entry.rotten || !entry.exists()) continue;
      pages_.push_back(block);
      now_.push_back(static_cast<std::int32_t>(entry.place.tier));
    }
    utility_.resize(pages_.size());
    state.layers[static_cast<std::size_t>(of / tables)].scheduler->utilities(of % tables, pages_, {stream.length(), 0}, utility_);
    reads_per_step_.assign(utility_.begin(), utility_.end());
    auto const n = std::ssize(pages_);
    std::array<Tier, shards::tier_kinds> rooms{fast_tier, host_tier, file_tier};
    rooms[0].pages = std::max<std::int64_t>(0, fast - (blocks - n));
    rooms[1].pages = std::ranges::count(now_, 1) + static_cast<std::int64_t>(store.tiers().tier(shards::TierKind::host).room());
    rooms[2].pages = n;
    auto const then = runtime::place(reads_per_step_, now_, rooms, {.page_bytes = static_cast<double>(store_.layout.bytes())});
    for (bool const down : {true, false})   // first what makes room
      for (std::size_t i = 0; i < then.size(); ++i)
        if (then[i] != now_[i] && (then[i] > now_[i]) == down) (void)store.move(stream, of, pages_[i], static_cast<shards::TierKind>(then[i]));
  }
}

void CacheManager::evict(shards::Store& store, Stream& stream, Tracked& state) {
  state.over = false;
  std::int32_t const page = store_.layout.page_tokens, tables = store_.tables_per_layer;
  Budget const budget{stream.length(), std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(stream.length()) * settings_.keep))};
  Block const blocks = stream.directory().blocks(), window = first_of_window(stream.length());
  for (std::size_t layer = 0; layer < state.layers.size(); ++layer) {
    std::int64_t pinned = 0;
    for (std::int32_t table = 0; table < tables; ++table) {
      auto& held = held_[static_cast<std::size_t>(table)];
      held.clear();
      for (Block block = 0; block < blocks; ++block) {
        shards::DirectoryEntry const& entry = stream.directory().at(static_cast<std::int32_t>(layer) * tables + table, block);
        if (!entry.exists()) continue;
        auto const tokens = static_cast<std::int32_t>(std::min<std::int64_t>(page, stream.length() - shards::first_position(block, page)));
        float weight = read_ && entry.expert >= 0 ? read_->likelihood(entry.expert) : 1.0f;
        if (auto const& summaries = state.layers[layer].summaries; !summaries.empty() && summaries[static_cast<std::size_t>(table)].knows(block))
          weight *= 1 - summaries[static_cast<std::size_t>(table)].relative_key_error(block);   // what is left of it is worth less
        held.push_back({block, tokens, block == 0 || block >= window || entry.life == shards::PageLife::open, weight});
        if (table == 0 && held.back().pinned) pinned += tokens;
      }
    }
    Layer& of = state.layers[layer];
    evictions_.clear();
    choose_evictions(*of.scheduler, held_, {budget.length, of.scheduler->layer_tokens(budget, pinned)}, of.summaries, {settings_.redundancy}, evictions_);
    for (Eviction const& eviction : evictions_) {
      if (store.evict(stream, static_cast<std::int32_t>(layer) * tables + eviction.table, eviction.block))
        of.scheduler->forget(eviction.table, eviction.block);
      else
        state.over = true;
    }
    if (read_) tell_router(stream, static_cast<std::int32_t>(layer));
  }
}

// What was evicted of each KV expert, as a share of what was held.
void CacheManager::tell_router(Stream const& stream, std::int32_t layer) {
  for (std::int32_t table = 0; table < store_.tables_per_layer; ++table) {
    std::map<shards::KvExpert, std::pair<int, int>> gone;   // of so many
    for (HeldPage const& page : held_[static_cast<std::size_t>(table)]) {
      shards::DirectoryEntry const& entry = stream.directory().at(layer * store_.tables_per_layer + table, page.block);
      if (entry.expert < 0) continue;
      ++gone[entry.expert].second;
      if (!entry.exists()) ++gone[entry.expert].first;
    }
    for (auto const& [expert, count] : gone)
      if (count.first > 0) read_->evicted(expert, static_cast<double>(count.first) / count.second);
  }
}

std::string CacheManager::save(Stream const& stream) const {
  Tracked const& state = streams_.at(&stream);
  StateWriter out;
  out.value(static_cast<std::uint8_t>(state.over ? 1 : 0));
  for (Layer const& layer : state.layers) {
    if (layer.scheduler) layer.scheduler->save(out);
    for (PageSummaries const& summaries : layer.summaries) summaries.save(out);
  }
  return out.take();
}

void CacheManager::restore(Stream const& stream, std::string_view bytes) {
  Tracked& state = tracked(stream);
  StateReader in{bytes};
  state.over = in.value<std::uint8_t>() != 0;
  for (Layer& layer : state.layers) {
    if (layer.scheduler) layer.scheduler->restore(in);
    for (PageSummaries& summaries : layer.summaries) summaries.restore(in);
  }
  if (!in.empty()) throw RunError("the state of a policy is longer than its form allows; resume from an older checkpoint");
}

std::size_t CacheManager::summary_bytes() const {
  std::size_t bytes = 0;
  for (auto const& [stream, state] : streams_)
    for (Layer const& layer : state.layers)
      for (PageSummaries const& summaries : layer.summaries) bytes += summaries.bytes();
  return bytes;
}

std::size_t CacheManager::summary_bytes_per_page(CacheSettings const& settings, kernels::PageLayout const& layout) {
  bool const summaries = policy_named(settings.scheduler).summaries || settings.redundancy > 0 || settings.read.wants_summaries();
  std::size_t const scalars = static_cast<std::size_t>(layout.kv_heads) * static_cast<std::size_t>(layout.head_dim);
  return summaries ? scalars * (2 * sizeof(std::uint16_t) + sizeof(float)) + sizeof(std::int32_t) + static_cast<std::size_t>(layout.kv_heads) * sizeof(float) : 0;
}

}  // namespace pikv::runtime
