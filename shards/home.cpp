#include "shards/home.hpp"

#include <algorithm>
#include <string>

#include "shards/block_hash.hpp"

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
      recode_orders_(static_cast<std::size_t>(world.size())),
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
    if (away) to.drops.push_back({stream.id_, from, 0, to.sent, recode_orders_[static_cast<std::size_t>(to.owner)]});
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
  stream.cold_ = std::clamp(from, 1, stream.cold_);
  if (from == 0) stream.evicted_pages_ = 0;
}

}  // namespace pikv::shards
