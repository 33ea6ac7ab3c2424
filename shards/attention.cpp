#include "shards/attention.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "shards/page_codecs.hpp"
#include "shards/stopwatch.hpp"

namespace pikv::shards {

namespace {
std::size_t index(std::int32_t i) { return static_cast<std::size_t>(i); }
constexpr float nothing = -std::numeric_limits<float>::infinity();
}  // namespace

Attention::Attention(comm::World& world, Arena& arena, Replicas& replicas, Tiers& tiers, Queries& queries, StoreOptions const& options,
                     Counts& counts, CachePolicy* policy)
    : world_{world},
      arena_{arena},
      replicas_{replicas},
      tiers_{tiers},
      queries_{queries},
      options_{options},
      counts_{counts},
      policy_{policy},
      device_{arena.device()},
      remote_(index(world.size())),
      of_class_(index(arena.classes())),
      plan_{arena, options} {
  std::size_t const tables = index(options.tables_per_layer), reads = index(options.most_streams) * tables;
  std::size_t const pages = reads * index(options.most_blocks);
  plan_.reserve(pages);
  reads_.reserve(reads);
  blocks_.reserve(pages);
  chosen_.reserve(index(options.most_blocks));
  here_.reserve(pages);
  for (auto& blocks : remote_) blocks.reserve(index(options.most_blocks));
  asked_.reserve(index(options.most_blocks));
  sampled_.reserve(64);
}

void Attention::begin_step(Step step, std::span<Segment const> segments) {
  step_ = step;
  sample_.begin_step();
  segments_.assign(segments.begin(), segments.end());
  rows_ = 0;
  for (Segment const& segment : segments_) rows_ += segment.rows * options_.tables_per_layer;
}

void Attention::append(std::int32_t layer, float const* k, float const* v) {
  Stopwatch const watch{attention_seconds_};
  row_slot_.clear();
  row_at_.clear();
  std::int32_t const mask = options_.layout.page_tokens - 1, tables = options_.tables_per_layer;
  for (Segment const& segment : segments_)
    for (std::int32_t r = 0; r < segment.rows; ++r)
      for (std::int32_t table = 0; table < tables; ++table) {
        std::int64_t const position = segment.stream->length() + r;
        Block const block = block_of(position, options_.layout.page_tokens);
        row_slot_.push_back(arena_.place(segment.stream->directory().at(layer * tables + table, block).local));
        row_at_.push_back(static_cast<std::int32_t>(position) & mask);
      }
  if (rows_ > 0) device_.append(arena_.view(0), row_slot_.data(), row_at_.data(), k, v, rows_);
}

// Several rows and several tables: row after row is not table after table.
bool Attention::shuffles() const {
  return options_.tables_per_layer > 1 && std::ranges::any_of(segments_, [](Segment const& segment) { return segment.rows > 1; });
}

namespace {

// of [rows][tables][width] the place of [tables][rows][width] in each segment, and back.
template <typename Put>
void for_each_row(std::span<Segment const> segments, std::int32_t tables, Put const& put) {
  std::size_t first = 0;
  for (Segment const& segment : segments) {
    for (std::int32_t r = 0; r < segment.rows; ++r)
      for (std::int32_t table = 0; table < tables; ++table) put(first + index(r * tables + table), first + index(table * segment.rows + r));
    first += index(segment.rows * tables);
  }
}

}  // namespace

float const* Attention::by_table(float const* q) {
  if (!shuffles()) return q;
  std::size_t const n = index(width());
  ordered_.resize(index(rows_));
  for_each_row(segments_, options_.tables_per_layer, [&](std::size_t by_row, std::size_t by_table) { ordered_[by_table] = q + by_row * n; });
  float* const shuffled = shuffled_q_.resize(index(rows_) * n);
  device_.gather_rows(ordered_, width(), shuffled);
  return shuffled;
}

float const* Attention::q_on_host() {
  if (host_q_ == nullptr) host_q_ = q_copy_(q_, index(rows_) * index(width()));
  return host_q_;
}

void Attention::write_out(kernels::PartialView partial, float* out) {
  if (!shuffles()) return device_.finish(partial, out, rows_, options_.q_heads, options_.layout.head_dim);
  std::size_t const n = index(width());
  float* const shuffled = shuffled_out_.resize(index(rows_) * n);
  device_.finish(partial, shuffled, rows_, options_.q_heads, options_.layout.head_dim);
  for_each_row(segments_, options_.tables_per_layer, [&](std::size_t by_row, std::size_t by_table) { ordered_[by_row] = shuffled + by_table * n; });
  device_.gather_rows(ordered_, width(), out);
}

void Attention::start(std::int32_t layer, float const* q) {
  q_ = by_table(q);
  host_q_ = nullptr;
  find_reads(layer);
  gather(reads_);
  queries_.start();
}

void Attention::find_reads(std::int32_t layer) {
  reads_.clear();
  blocks_.clear();
  page_lse_.clear();
  std::int32_t first_row = 0;
  for (Segment const& segment : segments_)
    for (std::int32_t t = 0; t < options_.tables_per_layer; ++t) {
      add_read(segment, layer * options_.tables_per_layer + t, first_row);
      first_row += segment.rows;
    }
}

void Attention::add_read(Segment const& segment, std::int32_t table, std::int32_t first_row) {
  Read read{segment.stream, {segment.stream, table, segment.stream->length(), segment.rows}, first_row, false, false, blocks_.size(), 0, 0};
  if (policy_ != nullptr) {
    std::span<float const> const q{q_on_host() + index(first_row) * index(width()), index(width())};
    bool const numbers = std::ranges::all_of(q, [](float x) { return std::isfinite(x); });   // else attention finds out, and the request ends
    read.chose = segment.rows == 1 && numbers && policy_->chooses(*segment.stream, read.of.first_position);
    read.watched = policy_->watches(read.of) || (read.chose && policy_->rounds() > 1);
  }
  add_blocks(read);
  if (read.watched) reserve_lse(read);
  reads_.push_back(read);
}

void Attention::add_blocks(Read& read) {
  Directory const& directory = read.stream->directory();
  Block const blocks = directory.blocks();
  if (!read.chose) {
    for (Block block = 0; block < blocks; ++block)
      if (directory.at(read.of.table, block).exists()) blocks_.push_back(block);
  } else {
    chosen_.clear();
    for (Block block = 0; block < blocks; ++block)
      if (directory.at(read.of.table, block).exists()) chosen_.push_back(block);
    policy_->choose(read.of, q_on_host() + index(read.first_row) * index(width()), chosen_);
    if (chosen_.empty() || chosen_.back() != blocks - 1) throw std::logic_error("attention: a policy has left out the page that is being filled");
    blocks_.insert(blocks_.end(), chosen_.begin(), chosen_.end());
  }
  read.blocks = blocks_.size() - read.first_block;
}

void Attention::reserve_lse(Read& read) {
  read.first_lse = page_lse_.size();
  page_lse_.resize(page_lse_.size() + read.blocks * index(read.of.rows) * index(options_.q_heads), nothing);
}

void Attention::gather(std::span<Read const> reads) {
  for (Read const& read : reads) {
    gather_one(read);
    choose_moves(read);
  }
}

// Counts the read's pages, and sorts by owner those that are not readable here.
void Attention::gather_one(Read const& read) {
  for (auto& blocks : remote_) blocks.clear();
  std::span<Block const> const blocks = std::span{blocks_}.subspan(read.first_block, read.blocks);
  counts_.page_reads += blocks.size();
  if (arena_.events().on())
    sample_.reads(static_cast<std::int64_t>(blocks.size()), [&](std::int64_t i) {
      if (sampled_.size() < sampled_.capacity()) sampled_.push_back({read.stream, read.of.table, blocks[static_cast<std::size_t>(i)]});
    });
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    DirectoryEntry& entry = read.stream->directory_.at(read.of.table, blocks[i]);
    if (entry.rotten) continue;   // find_rotten() tells
    if (entry.local.valid()) {
      ++counts_.local_reads;
      if (entry.life == PageLife::sealed && entry.owner == world_.rank()) ++entry.reads;
    } else if (entry.replica.valid()) {
      ++counts_.replica_hits;
    } else if (entry.life == PageLife::demoted) {
      tiers_.ask(*read.stream, read.of.table, blocks[i]);
    } else if (entry.life == PageLife::remote) {
      remote_[index(entry.owner)].push_back({blocks[i], static_cast<std::int32_t>(i)});
    }
  }
}

// Methods 1.7: the query moves if rows * H_q * 4 (2d + 2) < pages * page bytes, else the pages do, as far as there is room.
void Attention::choose_moves(Read const& read) {
  std::size_t const row_bytes = index(options_.q_heads) * 4 * (2 * index(options_.layout.head_dim) + 2);
  for (comm::Rank owner = 0; owner < world_.size(); ++owner) {
    auto const& pages = remote_[index(owner)];
    if (pages.empty()) continue;
    std::size_t page_bytes = 0;
    std::ranges::fill(of_class_, 0);
    for (Remote const& page : pages) {
      std::int32_t const size_class = arena_.size_class(read.stream->directory().at(read.of.table, page.block).slot);
      page_bytes += arena_.payload_bytes(size_class);
      ++of_class_[index(size_class)];
    }
    bool const cheaper = index(read.of.rows) * row_bytes >= page_bytes;
    bool const fetch = options_.move == Move::page || (options_.move == Move::automatic && cheaper);
    bool room = fetch;
    for (std::int32_t c = 0; c < arena_.classes() && room; ++c) room = of_class_[index(c)] == 0 || replicas_.room(read.of.table, c) >= of_class_[index(c)];
    if (room) {
      for (Remote const& page : pages) replicas_.fetch(*read.stream, read.of.table, page.block);
      continue;
    }
    asked_.clear();
    for (Remote const& page : pages)
      asked_.push_back({page.block, read.watched ? static_cast<std::int64_t>(read.first_lse + index(page.at) * index(read.of.rows) * index(options_.q_heads)) : -1});
    queries_.ask(owner, *read.stream, read.of, read.first_row, asked_, q_on_host());
  }
}

void Attention::find_rotten(std::span<Read const> reads, std::vector<Damage>& damages) {
  for (Read const& read : reads)
    for (Block const block : std::span{blocks_}.subspan(read.first_block, read.blocks)) {
      if (!read.stream->directory().at(read.of.table, block).rotten) continue;
      ++counts_.lost;
      arena_.events().record(PageEvent::miss, read.stream->id(), read.of.table, block);
      damages.push_back({read.stream, block});
    }
}

void Attention::finish(std::int32_t layer, float* out, std::vector<Damage>& damages) {
  find_rotten(reads_, damages);
  {
    Stopwatch const watch{communication_seconds_};
    replicas_.finish(damages);
  }
  kernels::PartialView const partial = partial_.resize(rows_, options_.q_heads, options_.layout.head_dim);
  attend_home(reads_, partial, damages);
  attend_there(layer, partial, damages);
  if (policy_ != nullptr && policy_->rounds() > 1) read_more(layer, partial, damages);
  record_hits(damages);
  if (policy_ != nullptr) {
    total_lse(partial);
    observe();
  }
  Stopwatch const watch{attention_seconds_};
  write_out(partial, out);
}

// All pages that lie here or in this home's tiers: in one go if there are slots for the copies, which changes nothing in the result, else in several.
void Attention::attend_home(std::span<Read const> reads, kernels::PartialView partial, std::vector<Damage>& damages) {
  auto const stage = [&] {
    Stopwatch const watch{communication_seconds_};
    return tiers_.stage(damages);
  };
  bool more = stage();
  attend_here(reads, Which::readable, partial);
  while (more && (more = stage())) {
    kernels::PartialView const staged = staged_.resize(rows_, options_.q_heads, options_.layout.head_dim);
    attend_here(reads, Which::copies, staged);
    device_.merge(partial, staged, rows_, options_.q_heads, options_.layout.head_dim);
  }
}

void Attention::attend_here(std::span<Read const> reads, Which which, kernels::PartialView partial) {
  if (rows_ == 0) return;
  Stopwatch const watch{attention_seconds_};
  plan_.clear();
  here_.clear();
  bool watched = false;
  std::size_t lse_floats = 0;
  for (Read const& read : reads) {
    std::int64_t const end = read.of.first_position + read.of.rows;
    std::int32_t const before = plan_.pages();
    for (std::size_t i = 0; i < read.blocks; ++i) {
      Block const block = blocks_[read.first_block + i];
      DirectoryEntry const& entry = read.stream->directory().at(read.of.table, block);
      Slot const slot = which == Which::copies ? entry.replica : entry.readable();
      if (!slot.valid()) continue;
      std::int64_t const first = first_position(block, options_.layout.page_tokens);
      plan_.page(slot, first, static_cast<std::int32_t>(std::min<std::int64_t>(options_.layout.page_tokens, end - first)));
      here_.push_back(static_cast<std::int32_t>(i));
    }
    plan_.end_group(read.of.table, read.of.first_position, read.of.rows);
    watched = watched || read.watched;
    lse_floats += index(plan_.pages() - before) * index(read.of.rows) * index(options_.q_heads);
  }
  if (watched) plan_lse_.resize(lse_floats);
  plan_.attend(q_, partial, watched ? plan_lse_.data() : nullptr);
  if (!watched) return;
  std::size_t from = 0, page = 0;
  for (std::size_t r = 0; r < reads.size(); ++r) {
    Read const& read = reads[r];
    std::size_t const n = index(read.of.rows) * index(options_.q_heads);
    for (std::size_t const last = index(plan_.last_page(static_cast<std::int32_t>(r))); page < last; ++page, from += n)
      if (read.watched) std::copy_n(plan_lse_.data() + from, n, page_lse_.data() + read.first_lse + index(here_[page]) * n);
  }
}

void Attention::attend_there(std::int32_t layer, kernels::PartialView partial, std::vector<Damage>& damages) {
  double const attending = queries_.attention_seconds();
  Stopwatch const watch{communication_seconds_};
  queries_.answer(step_, layer);
  queries_.finish(step_, layer, partial, page_lse_, damages);
  communication_seconds_ -= queries_.attention_seconds() - attending;
}

// Rows that read enough the first time have no pages in this round, but a place in its plan.
void Attention::read_more(std::int32_t layer, kernels::PartialView partial, std::vector<Damage>& damages) {
  total_lse(partial);
  more_.clear();
  for (Read const& read : reads_) {
    Read next = read;
    next.first_block = blocks_.size();
    next.blocks = 0;
    if (read.chose) {
      Directory const& directory = read.stream->directory();
      unread_.clear();
      for (Block block = 0; block < directory.blocks(); ++block) {
        auto const was_read = std::span{blocks_}.subspan(read.first_block, read.blocks);
        if (directory.at(read.of.table, block).exists() && !std::ranges::binary_search(was_read, block)) unread_.push_back(block);
      }
      chosen_.clear();
      policy_->choose_more(masses(read), q_on_host() + index(read.first_row) * index(width()), unread_, chosen_);
      blocks_.insert(blocks_.end(), chosen_.begin(), chosen_.end());
      next.blocks = chosen_.size();
    }
    if (next.watched) reserve_lse(next);
    more_.push_back(next);
  }
  gather(more_);
  find_rotten(more_, damages);
  queries_.start();
  {
    Stopwatch const watch{communication_seconds_};
    replicas_.finish(damages);
  }
  kernels::PartialView const second = second_.resize(rows_, options_.q_heads, options_.layout.head_dim);
  attend_home(more_, second, damages);
  if (rows_ > 0) device_.merge(partial, second, rows_, options_.q_heads, options_.layout.head_dim);
  attend_there(layer, partial, damages);
  for (std::size_t i = 0; i < reads_.size(); ++i) {   // joined, for observe()
    Read& read = reads_[i];
    Read const& next = more_[i];
    if (next.blocks == 0) continue;
    std::size_t const n = index(read.of.rows) * index(options_.q_heads);
    joined_.clear();
    for (Read const* const part : {static_cast<Read const*>(&read), &next})
      for (std::size_t b = 0; b < part->blocks; ++b) joined_.push_back({blocks_[part->first_block + b], part->first_lse + b * n});
    std::ranges::sort(joined_);
    std::size_t const first_block = blocks_.size(), first_lse = page_lse_.size();
    for (auto const& [block, lse] : joined_) {
      blocks_.push_back(block);
      for (std::size_t k = 0; k < n; ++k) page_lse_.push_back(page_lse_[lse + k]);
    }
    read.first_block = first_block;
    read.blocks += next.blocks;
    read.first_lse = first_lse;
  }
}

void Attention::total_lse(kernels::PartialView partial) {
  std::size_t const n = index(rows_) * index(options_.q_heads);
  lse_.resize(n);
  float const *const max = max_on_host_.fetch(partial.max, n), *const denom = denom_on_host_(partial.denom, n);   // one wait for both
  for (std::size_t i = 0; i < n; ++i) lse_[i] = denom[i] > 0 ? max[i] + std::log(denom[i]) : nothing;
}

PageMasses Attention::masses(Read const& read) const {
  return {read.of, std::span{blocks_}.subspan(read.first_block, read.blocks), page_lse_.data() + read.first_lse,
          lse_.data() + index(read.first_row) * index(options_.q_heads)};
}

std::span<Block const> Attention::blocks_read(Stream const& stream, std::int32_t table) const {
  auto const found = std::ranges::find_if(reads_, [&](Read const& read) { return read.stream == &stream && read.of.table == table; });
  if (found == reads_.end()) return {};
  return std::span{blocks_}.subspan(found->first_block, found->blocks);
}

void Attention::observe() {
  auto const known = [&](Read const& read) {
    auto const lse = std::span{lse_}.subspan(index(read.first_row) * index(options_.q_heads), index(read.of.rows) * index(options_.q_heads));
    return std::ranges::all_of(lse, [](float x) { return std::isfinite(x); });   // else a page was not finite: the request ends
  };
  for (Read const& read : reads_)
    if (read.watched && known(read)) policy_->observe(masses(read), q_on_host() + index(read.first_row) * index(width()));
}

// A sampled read of a page that turned out lost is no hit: it was written down as a miss.
void Attention::record_hits(std::span<Damage const> damages) {
  for (PageRead const& read : sampled_) {
    auto const lost = [&](Damage const& damage) { return damage.stream == read.stream && damage.block == read.block; };
    if (std::ranges::any_of(damages, lost)) continue;
    DirectoryEntry const& entry = read.stream->directory().at(read.table, read.block);
    Slot const here = entry.readable();
    arena_.events().record(PageEvent::hit, read.stream->id(), read.table, read.block,
                           here.valid() || entry.life == PageLife::demoted ? world_.rank() : entry.owner,
                           here.valid() ? here : entry.slot, here.valid() ? arena_.generation(here) : entry.generation);
  }
  sampled_.clear();
}

}  // namespace pikv::shards
