#include "shards/store.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "shards/mix.hpp"
#include "shards/page_forms.hpp"
#include "shards/stopwatch.hpp"

namespace pikv::shards {

namespace {

std::vector<SizeClass> size_classes(StoreOptions const& options) {
  std::vector<SizeClass> classes{{options.layout, options.slots}};
  for (std::int32_t c = 1; c < options.classes(); ++c) classes.push_back({options.layout, options.slots_of(c).slots, options.codecs->class_bytes(c)});
  return classes;
}

std::vector<std::size_t> shard_quotas(StoreOptions const& options) {
  std::vector<std::size_t> quotas;
  for (std::int32_t c = 0; c < options.classes(); ++c) quotas.push_back(options.local ? 0 : options.slots_of(c).slots - options.slots_of(c).home_slots);
  return quotas;
}

constexpr Block no_block = std::numeric_limits<Block>::max();

std::size_t index(std::int32_t i) { return static_cast<std::size_t>(i); }

}  // namespace

Fingerprint page_fingerprint(Fingerprint const& model, kernels::PageLayout const& layout, PageCodecs const* codecs) {
  std::uint64_t shape = mix(static_cast<std::uint64_t>(layout.dtype));
  for (std::int32_t const n : {layout.kv_heads, layout.page_tokens, layout.head_dim}) shape = mix(shape ^ static_cast<std::uint64_t>(n));
  if (codecs != nullptr) shape = mix(shape ^ codecs->digest());
  return {model.hi ^ shape, mix(model.lo ^ shape)};
}

namespace {

constexpr int most_ranks = 32767;   // a page's header and a bucket's place name ranks in 16 bits

StoreOptions checked(comm::World const& world, StoreOptions options) {
  if (world.size() > most_ranks)
    throw InputError("the job has " + std::to_string(world.size()) + " ranks, and pages can name " + std::to_string(most_ranks) + "; start fewer");
  if (options.classes() != 1 + (options.codecs ? options.codecs->classes() : 0)) throw std::logic_error("store: slots for other size classes than the codecs have");
  if (recodes(options) && options.tiers) throw std::logic_error("store: pages that cool stay in one tier");
  if (options.device == nullptr) options.device = &kernels::host_device();
  if (options.codecs) options.forms = std::make_shared<PageForms const>(*options.device, *options.codecs);
  if (options.migration_bytes == 0) options.migration_bytes = default_migration_bytes(options.layout);
  return options;
}

}  // namespace

Store::Store(comm::World& world, StoreOptions const& options, CachePolicy* policy)
    : world_{world},
      options_{checked(world, options)},
      transport_{world.make_transport()},
      arena_{*transport_, size_classes(options), *options_.device},
      owner_{arena_, world.rank(), world.size(), shard_quotas(options), options.fingerprint, counts_},
      home_{world, *transport_, arena_, owner_, options_, counts_, policy},
      migration_{world.rank(), world.size(), arena_, owner_, home_, options_},
      replicas_{world, *transport_, arena_, options_, counts_},
      recoding_{world.size(), arena_, owner_, home_, replicas_, options_, counts_, policy},
      tiers_{arena_, options_, counts_},
      queries_{world, arena_, owner_, options_, counts_},
      scrub_{arena_, owner_, options_, counts_},
      policy_{policy},
      attention_{world, arena_, replicas_, tiers_, queries_, options_, counts_, policy} {
  arena_.events().start(world.rank(), options.most_events, options.tables_per_layer, options.layout.kv_heads);
}

Store::~Store() = default;

Stream& Store::open(StreamId id, Block most_blocks) {
  for (auto const& open : streams_)
    if (open->id() == id) throw std::logic_error("store: a stream of this id is open");
  streams_.push_back(std::make_unique<Stream>(id, options_.layers));
  streams_.back()->directory_.reserve(most_blocks);
  return *streams_.back();
}

void Store::release(Stream& stream) {
  arena_.events().record(PageEvent::release, stream.id(), every_layer, 0);
  if (policy_ != nullptr) policy_->forgotten(stream, 0);
  replicas_.drop(stream, 0);
  tiers_.drop(stream, 0);
  migration_.forget(stream, 0);
  recoding_.forget(stream, 0);
  home_.release(stream, 0);
  home_.experts().close(stream);
  auto const closed = std::ranges::find(streams_, &stream, [](auto const& held) { return held.get(); });
  migration_.close(static_cast<std::size_t>(closed - streams_.begin()));
  streams_.erase(closed);
}

void Store::rewind(Stream& stream, Block block) {
  if (policy_ != nullptr) policy_->forgotten(stream, block);
  replicas_.drop(stream, block);
  tiers_.drop(stream, block);
  migration_.forget(stream, block);
  recoding_.forget(stream, block);
  home_.release(stream, block);
  ++counts_.rewinds;
  arena_.events().record(PageEvent::rewind, stream.id(), every_layer, block);
}

bool Store::evict(Stream& stream, std::int32_t table, Block block) {
  if (!home_.evict(stream, table, block)) return false;
  replicas_.drop(stream, table, block);
  recoding_.forget(stream, table, block);
  return true;
}

bool Store::restore(Stream& stream, ReadPage const& read) {
  for (std::int32_t c = 0; c < arena_.classes(); ++c) make_room(c, index(options_.layers));
  return home_.restore(stream, read);
}

bool Store::has_room(ReadPage const& read) const {
  std::vector<std::size_t> pages(index(arena_.classes()));
  PageHeader header;
  for (std::int32_t table = 0; table < options_.layers; ++table)
    if (read.header(table, header)) ++pages[index(stored_class(options_, table, header).value_or(0))];
  for (std::int32_t c = 0; c < arena_.classes(); ++c)
    if (pages[index(c)] > free_home_slots(c)) return false;
  return true;
}

void Store::make_room(std::int32_t size_class, std::size_t pages) {
  while (arena_.free_slots(size_class) < pages && replicas_.drop_one(0, size_class, true)) {}
}

// What the home may still take: its own share less what it holds. An own page that was placed here counts as the owner's. Copies of demoted
// pages need their slots in every layer.
std::size_t Store::free_home_slots() const {
  std::size_t pages = free_home_slots(0);
  for (std::int32_t c = 1; c < arena_.classes(); ++c)   // a block that is open now has to find room when it is sealed
    if (std::int32_t const sealed = sealed_tables(options_, c); sealed > 0) pages = std::min(pages, free_home_slots(c) / index(sealed) * index(options_.layers));
  return pages;
}

std::size_t Store::free_home_slots(std::int32_t c) const {
  CodedSlots const of = options_.slots_of(c);
  std::size_t const staged = options_.tiers ? of.replica_slots : 0, copies = replicas_.pages(c);
  std::size_t const free = arena_.free_slots(c) - std::min(arena_.free_slots(c), staged);
  std::size_t const share = options_.local ? of.slots : of.home_slots;
  std::size_t const held = arena_.slots(c) - arena_.free_slots(c) - arena_.retired_slots(c) - owner_.used(c) - copies;
  return std::min(free + copies, share - std::min(share, held));
}

std::size_t Store::pages_home() const {
  std::size_t taken = 0;
  for (std::int32_t c = 0; c < arena_.classes(); ++c) taken += arena_.slots(c) - arena_.free_slots(c) - arena_.retired_slots(c) - replicas_.pages(c);
  return taken - owner_.lent() - owner_.pages() - owner_.held_empty();
}

std::size_t Store::page_bytes(std::int32_t table, DirectoryEntry const& entry) const {
  if (entry.life == PageLife::demoted) return sealed_bytes(options_, table);
  Slot const slot = entry.local.valid() ? entry.local : entry.slot;
  std::int32_t const size_class = slot.valid() ? arena_.size_class(slot) : 0;
  return size_class > 0 ? options_.codecs->layout(table, options_.codecs->level_of(size_class)).bytes : options_.layout.bytes();
}

std::uint64_t Store::tokens_resident() const {
  std::uint64_t tokens = 0;
  for (auto const& stream : streams_) tokens += static_cast<std::uint64_t>(stream->length());
  return tokens;
}

void Store::place(PlacementOptions const& placement) {
  if (options_.local) return;
  home_.place(placement);
  migration_.start(streams_);
}

LoadReport Store::report_loads() {
  BucketLoads loads{home_.placement().buckets()};
  std::uint64_t bytes = 0;
  for (std::int32_t i = 0; i < arena_.end(); ++i) {
    Slot const slot{i};
    IndexedPage const& page = owner_.indexed(slot);
    if (page.home < 0) continue;
    loads.add(home_.bucket_for(page.expert, page.key.stream, page.key.block), page.reads);
    owner_.forget_reads(slot);
    bytes += arena_.slot_cost(arena_.size_class(slot));
  }
  for (auto const& stream : streams_)
    for (Block block = 1; block < stream->directory_.blocks(); ++block)
      for (std::int32_t layer = 0; layer < options_.layers; ++layer) {
        DirectoryEntry& entry = stream->directory_.at(layer, block);
        if (entry.life != PageLife::sealed || entry.owner != world_.rank()) continue;
        loads.add(home_.bucket_for(entry.expert, stream->id(), block), std::exchange(entry.reads, 0));
        bytes += arena_.slot_cost(arena_.size_class(entry.local));
      }
  LoadReport report = loads.report();
  report.bytes = bytes;
  return report;
}

void Store::plan(std::span<Segment const> segments) {
  for (Segment const& segment : segments) home_.expect(*segment.stream, segment.rows);
  recoding_.plan(streams_, segments);
}

void Store::write_control(comm::Rank to, comm::MessageWriter& out) {
  owner_.write_control(to, out);
  home_.write_control(to, out);
  migration_.write_control(to, out);
  recoding_.write_control(to, out);
}

void Store::read_control(comm::Rank from, comm::MessageReader& in) {
  home_.read_control(from, in);
  owner_.read_control(from, in);
  migration_.read_control(from, in);
  recoding_.read_control(from, in);
}

void Store::begin_step(Step step, Step oldest_step_in_flight, std::span<Segment const> segments) {
  step_ = step;
  arena_.events().at(step);
  transport_->poll();
  owner_.after_control(step, oldest_step_in_flight);
  home_.after_control();
  recoding_.after_control(step, streams_, segments);
  migration_.after_control(step, streams_);
  scrub();
  segments_.assign(segments.begin(), segments.end());
  attention_.begin_step(step, segments);
  damages_.clear();
  for (Segment const& segment : segments_) {
    make_room(0, home_.new_pages(*segment.stream, segment.rows));
    home_.extend(*segment.stream, segment.rows);
  }
}

// A rotten page is gone before anyone asks for it in this step: queries for an indexed one find it stale.
void Store::scrub() {
  for (Slot const slot : scrub_.step()) {
    if (owner_.indexed(slot).home < 0) {
      mark_rotten(slot);
      continue;
    }
    arena_.events().record(PageEvent::corrupt, owner_.indexed(slot).key, owner_.indexed(slot).home, slot, arena_.generation(slot));
    owner_.evict(slot, step_);
    ++counts_.corrupt;
  }
}

// Of a page at its home: a copy is dropped, the only one marked, which is found when its stream reads it. A released page interests nobody.
void Store::mark_rotten(Slot slot) {
  if (replicas_.drop(slot)) ++counts_.corrupt;
  for (auto const& stream : streams_)
    for (Block block = 0; block < stream->directory_.blocks(); ++block)
      for (std::int32_t layer = 0; layer < options_.layers; ++layer) {
        DirectoryEntry& entry = stream->directory_.at(layer, block);
        if (entry.local != slot || entry.rotten) continue;
        entry.rotten = true;
        ++counts_.corrupt;
        arena_.events().record(PageEvent::corrupt, stream->id(), layer, block, -1, slot, arena_.generation(slot));
      }
}

bool Store::damaged(Stream const& stream) const {
  return std::any_of(damages_.begin(), damages_.end(), [&](Damage const& damage) { return damage.stream == &stream; });
}

std::span<Damage const> Store::end_step() {
  lost_.clear();
  for (Segment const& segment : segments_) {
    Damage first{segment.stream, no_block};
    for (Damage const& damage : damages_)
      if (damage.stream == segment.stream) {
        first.block = std::min(first.block, damage.block);
        first.not_finite = first.not_finite || damage.not_finite;
      }
    if (first.block != no_block) {
      if (segment.stream->evicted_pages() > 0) first.block = 0;   // what earlier blocks saw is gone
      lost_.push_back(first);
    } else {
      home_.advance(*segment.stream, segment.rows);
    }
  }
  for (auto const& stream : streams_) {
    for (std::int32_t c = 1; c < arena_.classes(); ++c) make_room(c, home_.pages_to_seal(*stream, c));
    home_.seal_full(*stream, step_);
  }
  Stopwatch const watch{communication_seconds_};
  home_.push(step_);
  return lost_;
}

}  // namespace pikv::shards
