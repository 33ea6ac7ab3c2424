#include "shards/home.hpp"

#include <algorithm>
#include <string>

#include "shards/block_hash.hpp"
#include "shards/encode_watch.hpp"
#include "shards/page_codecs.hpp"
#include "shards/page_key.hpp"
#include "shards/stopwatch.hpp"

namespace pikv::shards {

namespace {
PlacementOptions placement_options(StoreOptions const& options, int ranks) {
  PlacementOptions placement;
  placement.weights = options.weights;
  if (placement.weights.empty()) placement.weights.assign(static_cast<std::size_t>(ranks), 1);
  return placement;
}
}  // namespace

std::size_t default_migration_bytes(kernels::PageLayout const& layout) {
  constexpr std::size_t enough = 1 << 20;
  return std::max(enough, layout.bytes() + header_bytes);
}

Home::Home(comm::World& world, comm::Transport& transport, Arena& arena, Owner& own_shard, StoreOptions const& options, Counts& counts,
           CachePolicy* policy)
    : world_{world},
      transport_{transport},
      arena_{arena},
      own_shard_{own_shard},
      options_{options},
      counts_{counts},
      experts_{options},
      cache_policy_{policy},
      placement_{placement_options(options, world.size())},
      channels_(static_cast<std::size_t>(world.size()) * static_cast<std::size_t>(arena.classes())),
      decoded_(options.layout.bytes()) {
  for (comm::Rank owner = 0; owner < world.size(); ++owner)
    for (std::int32_t size_class = 0; size_class < arena.classes(); ++size_class) {
      channel(owner, size_class).owner = owner;
      channel(owner, size_class).size_class = size_class;
    }
  if (options.skew > 0) skewed_.emplace(placement_.buckets(), options.skew, options.skew_seed);
}

Bucket Home::bucket_for(KvExpert expert, StreamId const& stream, Block block) const {
  if (skewed_) return skewed_->bucket_of(stream, block);
  return bucket_of(expert, stream, block, options_.kv_experts, placement_.buckets());
}

comm::Rank Home::target(KvExpert expert, StreamId const& stream, Block block, int refusals) const {
  return placement_.choice(bucket_for(expert, stream, block), refusals % placement_.choices(), block_hash(stream, block));
}

comm::Rank Home::choose(Waiting const& page) const {
  return placement_.choice(page.bucket, page.choice, block_hash(page.stream->id(), page.block));
}

void Home::place(PlacementOptions const& placement) {
  placement_ = Placement{placement};
  for (Channel& to : channels_)
    while (!to.waiting.empty()) {
      homeless_.push_back(to.waiting.front());
      to.waiting.pop();
    }
  for (Waiting& page : homeless_) page.choice = 0;
}

std::size_t Home::new_pages(Stream const& stream, std::int32_t rows) const {
  Block const blocks = blocks_for(stream.length() + rows, options_.layout.page_tokens);
  return static_cast<std::size_t>(std::max(0, blocks - stream.directory().blocks())) * static_cast<std::size_t>(options_.layers);
}

void Home::extend(Stream& stream, std::int32_t rows) {
  Block const before = stream.directory_.blocks();
  Block const blocks = std::max(before, blocks_for(stream.length_ + rows, options_.layout.page_tokens));
  stream.directory_.resize(blocks);
  for (Block block = before; block < blocks; ++block)
    for (std::int32_t layer = 0; layer < options_.layers; ++layer) {
      DirectoryEntry& entry = stream.directory_.at(layer, block);
      entry.life = PageLife::open;
      entry.local = arena_.take(0);
      if (!entry.local.valid()) throw RunError("the KV arena of rank " + std::to_string(world_.rank()) + " has no slot for an open page; raise --kv-budget");
      arena_.book(entry.local, options_.layout.bytes(), false);
    }
}

// A coded page as it was before, but for what the codec lost.
kernels::PoolView Home::decoded(std::int32_t layer, Slot slot) {
  kernels::PoolView const view{decoded_.data(), decoded_.size(), options_.layout};
  kernels::host::decode_page(options_.codecs->layout(layer), arena_.payload(slot).data(), view, 0);
  return view;
}

bool Home::read_block(Stream& stream, ReadPage const& read, std::uint32_t& tokens) {
  Block const block = stream.directory_.blocks() - 1;
  auto const whole = static_cast<std::uint32_t>(options_.layout.page_tokens);
  bool evicted = false;
  for (std::int32_t layer = 0; layer < options_.layers; ++layer) {
    PageHeader header;
    if (!read.header(layer, header)) {
      stream.directory_.at(layer, block).life = PageLife::evicted;
      evicted = true;
      continue;
    }
    std::int32_t const size_class = header.codec == 0 ? 0 : sealed_class(options_, layer);
    if (header.codec != 0 && (size_class == 0 || header.codec != options_.codecs->id(layer))) return false;
    DirectoryEntry& entry = stream.directory_.at(layer, block);
    entry.local = arena_.take(size_class);
    arena_.header(entry.local) = header;
    read.payload(layer, arena_.payload(entry.local).first(std::min<std::size_t>(header.payload_bytes, arena_.payload(entry.local).size())));
    ++counts_.checked;
    bool const sound = verify(header, arena_.payload(entry.local), key_of(options_, stream.id_, layer, block), header.generation, options_.fingerprint) == Verdict::good;
    if (!sound || header.tokens < 1 || header.tokens > whole || (tokens > 0 && header.tokens != tokens)) return false;
    tokens = header.tokens;
  }
  if (tokens == 0) tokens = whole;   // gone from every table
  return !evicted || tokens == whole;
}

bool Home::restore(Stream& stream, ReadPage const& read) {
  Block const block = stream.directory_.blocks();
  stream.directory_.resize(block + 1);
  std::uint32_t tokens = 0;
  if (!read_block(stream, read, tokens)) {
    ++counts_.corrupt;
    for (std::int32_t layer = 0; layer < options_.layers; ++layer)
      if (Slot const slot = stream.directory_.at(layer, block).local; slot.valid()) arena_.give_back(slot);
    stream.directory_.resize(block);
    return false;
  }
  stream.length_ += tokens;
  bool const full = static_cast<std::int32_t>(tokens) == options_.layout.page_tokens;
  bool sealed = full && stream.sealed_ == block;
  for (std::int32_t layer = 0; layer < options_.layers; ++layer)   // a page that waits to be encoded is still open
    if (DirectoryEntry const& entry = stream.directory_.at(layer, block); entry.life != PageLife::evicted)
      sealed = sealed && (block == 0 || arena_.size_class(entry.local) == sealed_class(options_, layer));
  for (std::int32_t layer = 0; layer < options_.layers; ++layer) {
    DirectoryEntry& entry = stream.directory_.at(layer, block);
    if (entry.life == PageLife::evicted) {
      ++stream.evicted_pages_;
      continue;
    }
    PageHeader& header = arena_.header(entry.local);
    arena_.book(entry.local, header.payload_bytes, false);
    arena_.events().record(PageEvent::restore, header.key, -1, entry.local, arena_.generation(entry.local), header.payload_bytes);
    if (!sealed) {
      entry.life = PageLife::open;
      header = {};   // a page that is being filled has none
      continue;
    }
    header.generation = 0;
    header.push = 0;
    header.home = static_cast<std::uint16_t>(world_.rank());
    header.epoch = placement_.epoch();
    bool const is_coded = arena_.size_class(entry.local) > 0;
    header.expert = entry.expert = experts_.adopt(stream, layer, block, is_coded ? decoded(layer, entry.local) : arena_.view(0),
                                                  is_coded ? 0 : arena_.place(entry.local), header.expert);
    stamp(header);
    entry.life = PageLife::sealed;
    if (!options_.local && block > 0) settle({&stream, layer, block, bucket_for(entry.expert, stream.id_, block), 0});
  }
  if (sealed) ++stream.sealed_;
  ++counts_.blocks_restored;
  return true;
}

void Home::expect(Stream const& stream, std::int32_t rows) {
  if (options_.local || !experts_.foretells()) return;
  Block const first = std::max(1, block_of(stream.length(), options_.layout.page_tokens));   // block 0 never leaves
  Block const end = block_of(stream.length() + rows, options_.layout.page_tokens);
  for (Block block = first; block < end; ++block) {
    comm::Rank const owner = target(experts_.foretell(stream.id(), block), stream.id(), block);
    if (owner == world_.rank()) continue;
    for (Channel& to : channels_to(owner)) to.expected += static_cast<std::size_t>(sealed_tables(options_, to.size_class));
  }
}

void Home::advance(Stream& stream, std::int32_t rows) {
  stream.length_ += rows;
  counts_.tokens_appended += static_cast<std::uint64_t>(rows);
}

Block Home::blocks_to_seal(Stream const& stream) const {
  return std::max(0, block_of(stream.length_, options_.layout.page_tokens) - options_.exact_blocks - stream.sealed_);
}

std::size_t Home::pages_to_seal(Stream const& stream, std::int32_t size_class) const {
  Block const coded = blocks_to_seal(stream) - (stream.sealed_ == 0 ? 1 : 0);
  return static_cast<std::size_t>(std::max(0, coded)) * static_cast<std::size_t>(sealed_tables(options_, size_class));
}

bool Home::room_to_seal(Block block) const {
  if (block == 0) return true;
  for (std::int32_t size_class = 1; size_class < arena_.classes(); ++size_class)
    if (arena_.free_slots(size_class) < static_cast<std::size_t>(sealed_tables(options_, size_class))) return false;
  return true;
}

void Home::seal_full(Stream& stream, Step step) {
  for (Block left = blocks_to_seal(stream); left > 0 && room_to_seal(stream.sealed_); --left, ++stream.sealed_)
    for (std::int32_t layer = 0; layer < options_.layers; ++layer) seal_page(stream, layer, stream.sealed_, step);
}

void Home::encode(DirectoryEntry& entry, std::int32_t layer, PageKey const& key) {
  Stopwatch const watch{encode_seconds_};
  kernels::CodedLayout const layout = options_.codecs->layout(layer);
  Slot const coded = arena_.take(sealed_class(options_, layer));
  kernels::host::encode_page(arena_.view(0), arena_.place(entry.local), layout, arena_.payload(coded).data());
  arena_.book(coded, layout.bytes, false);
  arena_.header(coded).codec = options_.codecs->id(layer);
  if (options_.encode_watch != nullptr) options_.encode_watch->encoded(key, arena_.view(0), arena_.place(entry.local), layout, arena_.payload(coded).data());
  arena_.give_back(entry.local);
  entry.local = coded;
}

void Home::seal_page(Stream& stream, std::int32_t layer, Block block, Step step) {
  DirectoryEntry& entry = stream.directory_.at(layer, block);
  KvExpert const expert = experts_.choose(stream, layer, block, arena_.view(0), arena_.place(entry.local));
  if (cache_policy_ != nullptr) cache_policy_->sealed(stream, layer, block, arena_.view(0), arena_.place(entry.local));
  std::size_t bytes = options_.layout.bytes();
  arena_.header(entry.local) = {};
  if (block > 0 && sealed_class(options_, layer) > 0) {
    encode(entry, layer, key_of(options_, stream.id_, layer, block));
    bytes = options_.codecs->layout(layer).bytes;
    if (cache_policy_ != nullptr)
      cache_policy_->encoded(stream, layer, block, kernels::coded_errors(options_.codecs->layout(layer), arena_.payload(entry.local).data()));
  }
  PageHeader& header = arena_.header(entry.local);
  header.key = key_of(options_, stream.id_, layer, block);
  header.first_position = first_position(block, options_.layout.page_tokens);
  header.tokens = static_cast<std::uint32_t>(options_.layout.page_tokens);
  header.fingerprint = options_.fingerprint;
  header.epoch = placement_.epoch();
  header.step = static_cast<std::uint32_t>(step);
  header.expert = entry.expert = expert;
  header.home = static_cast<std::uint16_t>(world_.rank());
  seal(header, arena_.payload(entry.local).first(bytes), options_.layout);
  entry.life = PageLife::sealed;
  ++counts_.pages_sealed;
  arena_.events().record(PageEvent::seal, header.key, -1, entry.local, arena_.generation(entry.local), header.payload_bytes);
  if (!options_.local && block > 0) settle({&stream, layer, block, bucket_for(expert, stream.id_, block), 0});
}

// Finds a sealed page the first rank, from its present choice on, that may have room: this one at once, another by asking.
void Home::settle(Waiting page) {
  DirectoryEntry& entry = page.stream->directory_.at(page.layer, page.block);
  if (entry.life == PageLife::evicted) return;
  for (int tried = 0; tried < placement_.choices(); ++tried) {
    comm::Rank const owner = choose(page);
    std::int32_t const size_class = arena_.size_class(entry.local);
    if (owner != world_.rank() || own_shard_.adopt(size_class)) {
      entry.owner = owner;
      arena_.events().record(PageEvent::place, page.stream->id(), page.layer, page.block, owner);
      if (owner != world_.rank()) channel(owner, size_class).waiting.push(page);
      return;
    }
    page.choice = (page.choice + 1) % placement_.choices();
    if (page.choice == 0) break;   // every rank was asked: wait for a step
  }
  entry.owner = -1;
  homeless_.push_back(page);
}

void Home::write_control(comm::Rank owner, comm::MessageWriter& out) {
  for (Channel& to : channels_to(owner)) write_control(to, out);
}

void Home::write_control(Channel& to, comm::MessageWriter& out) {
  // Of the pages that leave only as many as go while a request is answered: slots for the others would lie idle.
  std::size_t const soon = 2 * std::max<std::size_t>(options_.migration_bytes / move_cost(to), 1);
  std::size_t const need = to.waiting.size() + to.expected + std::min(to.leaving.size(), soon), have = to.credits.size(), coming = to.asked_before;
  to.asked = need > have + coming ? std::min(need - have - coming, Owner::most_grants) : 0;
  to.expected = 0;
  // Slots that nothing wants go back for others to use; not while more are on their way, so that both sides mean the same newest ones.
  std::size_t const unwanted = coming == 0 && have > need ? have - need : 0;
  for (std::size_t i = 0; i < unwanted; ++i) (void)to.credits.pop_newest();
  auto const drops = std::min(to.drops.size(), most_drops), retires = std::min(to.retires.size(), most_retires);
  out.value(to.sent);
  out.value(std::uint64_t{to.asked});
  out.value(std::uint64_t{unwanted});
  out.value(std::uint64_t{drops});
  out.value(std::uint64_t{retires});
  out.array(std::span<Drop const>{to.drops}.first(drops));
  out.array(std::span<Grant const>{to.retires}.first(retires));
  to.drops.erase(to.drops.begin(), to.drops.begin() + static_cast<std::ptrdiff_t>(drops));
  to.retires.erase(to.retires.begin(), to.retires.begin() + static_cast<std::ptrdiff_t>(retires));
}

void Home::read_control(comm::Rank owner, comm::MessageReader& in) {
  for (Channel& from : channels_to(owner)) read_control(from, in);
}

void Home::read_control(Channel& from, comm::MessageReader& in) {
  from.acknowledged = in.value<std::uint64_t>();
  auto const granted_before = from.granted;
  from.granted = in.value<std::uint64_t>();
  auto const granted = in.value<std::uint64_t>();
  if (from.granted - granted_before != granted)
    throw RunError("rank " + std::to_string(from.owner) + " granted slots that did not arrive; the control exchange is broken");
  for (Grant const& grant : in.array<Grant>(granted)) from.credits.push(grant);
  from.refused = from.asked_before - std::min<std::size_t>(from.asked_before, granted);
  from.asked_before = from.asked;
}

void Home::after_control() {
  for (Channel& from : channels_) acknowledge(from);
  for (Channel& from : channels_) take_back_refused(from);
  looking_.swap(homeless_);
  for (Waiting const& page : looking_) settle(page);
  looking_.clear();
}

void Home::acknowledge(Channel& from) {
  while (!from.pending.empty() && from.pending.front().number <= from.acknowledged) {
    Pushed const page = from.pending.front();
    from.pending.pop();
    if (page.leaves) has_left(from, page);
    if (page.home >= 0) continue;
    ++counts_.pages_acknowledged;
    arena_.events().record(PageEvent::acknowledge, arena_.header(page.local).key, from.owner, {page.grant.slot}, page.grant.generation);
    arena_.give_back(page.local);
    if (page.stream != nullptr) {
      DirectoryEntry& entry = page.stream->directory_.at(page.layer, page.block);
      bool const wanted = !entry.rotten && !entry.condemned;
      entry.life = entry.condemned ? PageLife::evicted : entry.rotten ? PageLife::lost : PageLife::remote;
      entry.condemned = false;
      entry.local = {};
      entry.moving = false;
      if (page.leaves && wanted)
        arena_.events().record(PageEvent::migrate, page.stream->id(), page.layer, page.block, from.owner, {page.grant.slot}, page.grant.generation);
      if (wanted) continue;
    }
    from.retires.push_back(page.grant);
  }
}

// An owner that granted less than was asked for has no more: as many pages, the newest, try their next choice; those that would leave
// another rank for it stay there, before any new page goes without.
void Home::take_back_refused(Channel& from) {
  for (; from.refused > 0 && from.waiting.size() + from.leaving.size() > from.credits.size(); --from.refused) {
    if (!from.leaving.empty()) {
      stay(from.leaving.pop_newest(), from.owner);
      continue;
    }
    Waiting page = from.waiting.pop_newest();
    page.choice = (page.choice + 1) % placement_.choices();
    homeless_.push_back(page);
  }
  from.refused = 0;
}

// A page that waits for a slot elsewhere is left in its queue, and passed over when its turn comes.
bool Home::evict(Stream& stream, std::int32_t table, Block block) {
  DirectoryEntry& entry = stream.directory_.at(table, block);
  if (block == 0 || entry.moving || entry.rotten || !entry.exists()) return false;
  DirectoryEntry const was = entry;
  switch (entry.life) {
    case PageLife::sealed:
      if (entry.owner == world_.rank()) own_shard_.disown(arena_.size_class(entry.local));
      arena_.give_back(entry.local);
      entry.local = {};
      entry.life = PageLife::evicted;
      break;
    case PageLife::pending: entry.condemned = true; break;
    case PageLife::remote:
      retire_at(entry.owner, {entry.slot.index, 0, entry.generation});
      entry.life = PageLife::evicted;
      break;
    default: return false;
  }
  arena_.events().record(PageEvent::evict, stream.id(), table, block, was.owner, was.slot, was.generation);
  ++stream.evicted_pages_;
  ++counts_.pages_evicted;
  counts_.cells_evicted += static_cast<std::uint64_t>(options_.layout.page_tokens) * static_cast<std::uint64_t>(options_.layout.kv_heads);
  return true;
}

void Home::release(Stream& stream, Block from) {
  experts_.forget(stream, from);
  Directory& directory = stream.directory_;
  auto const released = [&](auto const& page) { return page.stream == &stream && page.block >= from; };
  for (Channel& to : channels_) {
    to.waiting.erase_if(released);
    to.leaving.erase_if(released);
    bool away = false;
    for (Pushed& page : to.pending)
      if (released(page)) {
        page.stream = nullptr;   // its local slot stays taken until the owner has answered for the push
        directory.at(page.layer, page.block).local = {};
        away = true;
      }
    for (Block block = from; block < directory.blocks(); ++block)
      for (std::int32_t layer = 0; layer < options_.layers; ++layer) {
        DirectoryEntry const& entry = directory.at(layer, block);
        if (entry.owner != to.owner || (entry.life != PageLife::remote && entry.life != PageLife::lost)) continue;
        if (arena_.size_class(entry.slot) != to.size_class) continue;
        if (entry.moved) to.retires.push_back({entry.slot.index, 0, entry.generation});
        away = away || !entry.moved;
      }
    if (away) to.drops.push_back({stream.id_, from, 0, to.sent});
  }
  std::erase_if(homeless_, released);
  for (Block block = from; block < directory.blocks(); ++block)
    for (std::int32_t layer = 0; layer < options_.layers; ++layer) {
      DirectoryEntry& entry = directory.at(layer, block);
      if (entry.life == PageLife::sealed && entry.owner == world_.rank()) own_shard_.disown(arena_.size_class(entry.local));
      if (entry.local.valid()) arena_.give_back(entry.local);
    }
  directory.resize(std::min(from, directory.blocks()));
  stream.length_ = std::min(stream.length_, first_position(from, options_.layout.page_tokens));
  stream.sealed_ = std::min(stream.sealed_, from);
  if (from == 0) stream.evicted_pages_ = 0;
}

}  // namespace pikv::shards
