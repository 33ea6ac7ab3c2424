#include "shards/home.hpp"

#include <algorithm>
#include <string>

#include "shards/block_hash.hpp"

namespace pikv::shards {

namespace {
constexpr int most_tries = 16;

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

Home::Home(comm::World& world, comm::Transport& transport, Arena& arena, Owner& own_shard, StoreOptions const& options, Counts& counts)
    : world_{world},
      transport_{transport},
      arena_{arena},
      own_shard_{own_shard},
      options_{options},
      counts_{counts},
      policy_{make_home_policy(options.home)},
      placement_{placement_options(options, world.size())},
      channels_(static_cast<std::size_t>(world.size())),
      move_cost_{options.layout.bytes() + header_bytes} {
  if (options.skew > 0) skewed_.emplace(placement_.buckets(), options.skew, options.skew_seed);
}

Bucket Home::bucket_for(StreamId const& stream, Block block, KvExpert* expert) const {
  *expert = policy_->expert_of({stream, block, options_.kv_experts});
  if (skewed_) return skewed_->bucket_of(stream, block);
  return bucket_of(*expert, stream, block, options_.kv_experts, placement_.buckets());
}

comm::Rank Home::target(StreamId const& stream, Block block, int refusals) const {
  KvExpert expert = 0;
  Bucket const bucket = bucket_for(stream, block, &expert);
  return placement_.choice(bucket, refusals % placement_.choices(), block_hash(stream, block));
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

bool Home::restore(Stream& stream, ReadPage read) {
  Block const block = stream.directory_.blocks();
  stream.directory_.resize(block + 1);
  std::uint32_t tokens = 0;
  bool sound = true;
  for (std::int32_t layer = 0; layer < options_.layers && sound; ++layer) {
    DirectoryEntry& entry = stream.directory_.at(layer, block);
    entry.local = arena_.take(0);
    PageHeader& header = arena_.header(entry.local);
    read(layer, header, arena_.payload(entry.local));
    PageKey const key{stream.id_, static_cast<std::uint16_t>(layer), 0, static_cast<std::uint16_t>(options_.layout.kv_heads), 0, block};
    ++counts_.checked;
    sound = verify(header, arena_.payload(entry.local), key, header.generation, options_.fingerprint) == Verdict::good &&
            header.tokens >= 1 && header.tokens <= static_cast<std::uint32_t>(options_.layout.page_tokens) && (layer == 0 || header.tokens == tokens);
    tokens = header.tokens;
  }
  if (!sound) {
    ++counts_.corrupt;
    for (std::int32_t layer = 0; layer < options_.layers; ++layer)
      if (Slot const slot = stream.directory_.at(layer, block).local; slot.valid()) arena_.give_back(slot);
    stream.directory_.resize(block);
    return false;
  }
  stream.length_ += tokens;
  KvExpert expert = 0;
  Bucket const bucket = bucket_for(stream.id_, block, &expert);
  for (std::int32_t layer = 0; layer < options_.layers; ++layer) {
    DirectoryEntry& entry = stream.directory_.at(layer, block);
    arena_.book(entry.local, options_.layout.bytes(), false);
    PageHeader& header = arena_.header(entry.local);
    arena_.events().record(PageEvent::restore, header.key, -1, entry.local, arena_.generation(entry.local), header.payload_bytes);
    if (static_cast<std::int32_t>(tokens) < options_.layout.page_tokens) {
      entry.life = PageLife::open;
      header = {};   // a page that is being filled has none
      continue;
    }
    header.generation = 0;
    header.push = 0;
    header.home = static_cast<std::uint16_t>(world_.rank());
    header.epoch = placement_.epoch();
    stamp(header);
    entry.life = PageLife::sealed;
    entry.expert = expert;
    if (!options_.local && block > 0) settle({&stream, layer, block, bucket, 0});
  }
  ++counts_.blocks_restored;
  return true;
}

void Home::expect(Stream const& stream, std::int32_t rows) {
  if (options_.local) return;
  Block const first = std::max(1, block_of(stream.length(), options_.layout.page_tokens));   // block 0 never leaves
  Block const end = block_of(stream.length() + rows, options_.layout.page_tokens);
  for (Block block = first; block < end; ++block) {
    comm::Rank const owner = target(stream.id(), block);
    if (owner != world_.rank()) channel(owner).expected += static_cast<std::size_t>(options_.layers);
  }
}

void Home::advance(Stream& stream, std::int32_t rows, Step step) {
  Block const first = block_of(stream.length_, options_.layout.page_tokens);
  stream.length_ += rows;
  counts_.tokens_appended += static_cast<std::uint64_t>(rows);
  Block const end = block_of(stream.length_, options_.layout.page_tokens);
  for (Block block = first; block < end; ++block) {
    KvExpert expert = 0;
    Bucket const bucket = bucket_for(stream.id(), block, &expert);
    for (std::int32_t layer = 0; layer < options_.layers; ++layer) {
      DirectoryEntry& entry = stream.directory_.at(layer, block);
      PageHeader& header = arena_.header(entry.local);
      header = {};
      header.key = {stream.id_, static_cast<std::uint16_t>(layer), 0, static_cast<std::uint16_t>(options_.layout.kv_heads), 0, block};
      header.first_position = first_position(block, options_.layout.page_tokens);
      header.tokens = static_cast<std::uint32_t>(options_.layout.page_tokens);
      header.fingerprint = options_.fingerprint;
      header.epoch = placement_.epoch();
      header.step = step;
      header.home = static_cast<std::uint16_t>(world_.rank());
      seal(header, arena_.payload(entry.local), options_.layout);
      entry.life = PageLife::sealed;
      entry.expert = expert;
      ++counts_.pages_sealed;
      arena_.events().record(PageEvent::seal, header.key, -1, entry.local, arena_.generation(entry.local), header.payload_bytes);
      if (!options_.local && block > 0) settle({&stream, layer, block, bucket, 0});
    }
  }
}

// Finds a sealed page the first rank, from its present choice on, that may have room: this one at once, another by asking.
void Home::settle(Waiting page) {
  DirectoryEntry& entry = page.stream->directory_.at(page.layer, page.block);
  for (int tried = 0; tried < placement_.choices(); ++tried) {
    comm::Rank const owner = choose(page);
    if (owner != world_.rank() || own_shard_.adopt()) {
      entry.owner = owner;
      arena_.events().record(PageEvent::place, page.stream->id(), page.layer, page.block, owner);
      if (owner != world_.rank()) channel(owner).waiting.push(page);
      return;
    }
    page.choice = (page.choice + 1) % placement_.choices();
    if (page.choice == 0) break;   // every rank was asked: wait for a step
  }
  entry.owner = -1;
  homeless_.push_back(page);
}

void Home::write_control(comm::Rank owner, comm::MessageWriter& out) {
  Channel& to = channel(owner);
  // Of the pages that leave only as many as go while a request is answered: slots for the others would lie idle.
  std::size_t const soon = 2 * std::max<std::size_t>(options_.migration_bytes / move_cost_, 1);
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
  Channel& from = channel(owner);
  from.acknowledged = in.value<std::uint64_t>();
  auto const granted_before = from.granted;
  from.granted = in.value<std::uint64_t>();
  auto const granted = in.value<std::uint64_t>();
  if (from.granted - granted_before != granted)
    throw RunError("rank " + std::to_string(owner) + " granted slots that did not arrive; the control exchange is broken");
  for (Grant const& grant : in.array<Grant>(granted)) from.credits.push(grant);
  from.refused = from.asked_before - std::min<std::size_t>(from.asked_before, granted);
  from.asked_before = from.asked;
}

void Home::after_control() {
  for (comm::Rank owner = 0; owner < world_.size(); ++owner) acknowledge(owner);
  for (comm::Rank owner = 0; owner < world_.size(); ++owner) take_back_refused(owner);
  looking_.swap(homeless_);
  for (Waiting const& page : looking_) settle(page);
  looking_.clear();
}

void Home::acknowledge(comm::Rank owner) {
  Channel& from = channel(owner);
  while (!from.pending.empty() && from.pending.front().number <= from.acknowledged) {
    Pushed const page = from.pending.front();
    from.pending.pop();
    if (page.leaves) ++counts_.pages_moved;
    if (page.home >= 0) {
      left_.push_back({page.home, owner, page.local, page.generation, true, !page.empty, page.grant});
      if (page.empty) from.retires.push_back(page.grant);
      continue;
    }
    if (page.leaves) own_shard_.disown();
    ++counts_.pages_acknowledged;
    arena_.events().record(PageEvent::acknowledge, arena_.header(page.local).key, owner, {page.grant.slot, 0}, page.grant.generation);
    arena_.give_back(page.local);
    if (page.stream != nullptr) {
      DirectoryEntry& entry = page.stream->directory_.at(page.layer, page.block);
      entry.life = entry.rotten ? PageLife::lost : PageLife::remote;
      entry.local = {};
      entry.moving = false;
      if (page.leaves && !entry.rotten)
        arena_.events().record(PageEvent::migrate, page.stream->id(), page.layer, page.block, owner, {page.grant.slot, 0}, page.grant.generation);
      if (!entry.rotten) continue;
    }
    from.retires.push_back(page.grant);
  }
}

// An owner that granted less than was asked for has no more: as many pages, the newest, try their next choice; those that would leave
// another rank for it stay there, before any new page goes without.
void Home::take_back_refused(comm::Rank owner) {
  Channel& from = channel(owner);
  for (; from.refused > 0 && from.waiting.size() + from.leaving.size() > from.credits.size(); --from.refused) {
    if (!from.leaving.empty()) {
      stay(from.leaving.pop_newest(), owner);
      continue;
    }
    Waiting page = from.waiting.pop_newest();
    page.choice = (page.choice + 1) % placement_.choices();
    homeless_.push_back(page);
  }
  from.refused = 0;
}

// What is pushed: the header of a page stored for another stays as it is here, where it is fetched by it.
PageHeader Home::header_for(Pushed const& page) {
  PageHeader& kept = arena_.header(page.local);
  PageHeader header = kept;
  if (page.empty && page.home >= 0) seal_nothing(header, page.local);
  bool const sound = intact(header);
  header.generation = page.grant.generation;
  header.epoch = placement_.epoch();
  header.push = page.number;
  if (page.home < 0) header.home = static_cast<std::uint16_t>(world_.rank());   // a page from a checkpoint may have had another
  if (sound) stamp(header);   // else it stays what the owner refuses
  if (page.home < 0) kept = header;
  return header;
}

void Home::seal_nothing(PageHeader& header, Slot local) {
  header = {};
  header.key = key_of_nothing;
  header.fingerprint = options_.fingerprint;
  header.home = static_cast<std::uint16_t>(world_.rank());
  seal(header, arena_.payload(local), options_.layout);
}

// A page that has rotted here can never be pushed, but its number must be: nothing is sealed in its place, which the owner indexes and
// is told to drop.
void Home::empty_if_rotten(Pushed& page, Step step) {
  if (page.empty) return;
  PageHeader& header = arena_.header(page.local);
  ++counts_.checked;
  std::uint64_t const generation = page.home >= 0 ? page.generation : page.grant.generation;
  if (verify_arrived(header, arena_.payload(page.local), generation, options_.fingerprint) == Verdict::good) return;
  if (page.home >= 0) {
    page.empty = true;
    if (own_shard_.indexed(page.local).home < 0) return;
    ++counts_.corrupt;
    own_shard_.evict(page.local, step);
    return;
  }
  if (page.stream != nullptr) {
    DirectoryEntry& entry = page.stream->directory_.at(page.layer, page.block);
    if (!entry.rotten) {
      ++counts_.corrupt;
      arena_.events().record(PageEvent::corrupt, page.stream->id(), page.layer, page.block, -1, page.local, arena_.generation(page.local));
    }
    entry.rotten = true;
  }
  seal_nothing(header, page.local);
}

void Home::send(comm::Rank to, Pushed const& page) {
  Slot const at{page.grant.slot, 0};
  headers_.push_back({to, at, header_for(page)});
  started_.push_back({transport_.put(to, arena_.payload_at(at), arena_.payload(page.local)), to});
  if (std::ranges::find(touched_, to) == touched_.end()) touched_.push_back(to);
  ++counts_.pages_pushed;
  arena_.events().record(PageEvent::push, arena_.header(page.local).key, to, at, page.grant.generation, options_.layout.bytes());
}

void Home::wait_for_all(char const* what) {
  comm::Deadline const deadline = world_.in(options_.deadline_s);
  for (Started const& started : started_) {
    comm::Status const status = transport_.wait(started.op, deadline);
    if (status == comm::Status::arrived) continue;
    ++counts_.timeout;
    if (status == comm::Status::peer_gone) throw RunError(gone_ranks_sentence(world_));
    throw RunError(std::string{what} + " to rank " + std::to_string(started.peer) + " (" + world_.host_name(started.peer) + ") ended as " +
                   to_string(status) + "; look at that host, or raise --deadline");
  }
  started_.clear();
}

// The oldest push is not acknowledged though the owner has looked since: it arrived damaged, or not at all, so nothing behind it is
// indexed either. Only then may slots be written again: behind a sound oldest push a page may be indexed whose acknowledgement is
// still on its way.
void Home::repeat(comm::Rank owner, Step step) {
  Channel& to = channel(owner);
  if (to.pending.empty() || to.pending.front().pushed_in > step - 2) return;
  if (to.pending.front().leaves && budget_ < move_cost_) return;   // in the next step
  if (++to.pending.front().tries > most_tries)
    throw RunError("a page pushed to rank " + std::to_string(owner) + " (" + world_.host_name(owner) + ") arrived damaged " +
                   std::to_string(most_tries) + " times in a row; test the network or memory of that host");
  empty_if_rotten(to.pending.front(), step);
  for (Pushed& page : to.pending) {
    if (page.pushed_in > step - 2 || (page.leaves && !afford())) continue;
    page.pushed_in = step;
    send(owner, page);
  }
}

bool Home::afford() {
  if (budget_ < move_cost_) return false;
  budget_ -= move_cost_;
  counts_.migration_bytes += move_cost_;
  return true;
}

void Home::stay(Leaving const& page, comm::Rank to) {
  ++counts_.moves_refused;
  if (page.stream != nullptr) {
    DirectoryEntry& entry = page.stream->directory_.at(page.layer, page.block);
    entry.moving = false;
    ++entry.refusals;
    return;
  }
  left_.push_back({page.home, to, page.slot, page.generation, false, false, {}});
}

// False: it stays, or has gone by now.
bool Home::leave_now(comm::Rank owner, Leaving const& page, Step step) {
  Channel& to = channel(owner);
  Grant const grant = to.credits.front();
  Pushed push{.stream = page.stream, .layer = page.layer, .block = page.block, .local = page.slot, .grant = grant, .number = to.sent + 1,
              .pushed_in = step, .leaves = true, .home = page.home, .generation = page.generation};
  if (page.stream != nullptr) {
    DirectoryEntry& entry = page.stream->directory_.at(page.layer, page.block);
    if (entry.rotten) return stay(page, owner), false;
    entry.life = PageLife::pending;
    entry.owner = owner;
    entry.slot = {grant.slot, 0};
    entry.generation = grant.generation;
    push.local = entry.local;
  } else {
    IndexedPage const& held = own_shard_.indexed(page.slot);
    if (held.home != page.home || arena_.generation(page.slot) != page.generation) return stay(page, owner), false;
    ++counts_.checked;
    if (verify(arena_.header(page.slot), arena_.payload(page.slot), held.key, page.generation, options_.fingerprint) != Verdict::good) {
      ++counts_.corrupt;
      own_shard_.evict(page.slot, step);
      return stay(page, owner), false;
    }
    own_shard_.hold(page.slot);
  }
  to.credits.pop();
  ++to.sent;
  to.pending.push(push);
  send(owner, *(to.pending.end() - 1));
  return true;
}

void Home::push_leaving(comm::Rank owner, Step step) {
  Channel& to = channel(owner);
  while (!to.leaving.empty() && !to.credits.empty() && budget_ >= move_cost_) {
    Leaving const page = to.leaving.front();
    to.leaving.pop();
    if (leave_now(owner, page, step)) (void)afford();
  }
}

void Home::push(Step step) {
  budget_ = options_.migration_bytes;
  for (comm::Rank owner = 0; owner < world_.size(); ++owner) {
    Channel& to = channel(owner);
    repeat(owner, step);
    while (!to.waiting.empty() && !to.credits.empty()) {
      Waiting const page = to.waiting.front();
      DirectoryEntry& entry = page.stream->directory_.at(page.layer, page.block);
      Grant const grant = to.credits.front();
      to.waiting.pop();
      to.credits.pop();
      entry.life = PageLife::pending;
      entry.slot = {grant.slot, 0};
      entry.generation = grant.generation;
      to.pending.push({.stream = page.stream, .layer = page.layer, .block = page.block, .local = entry.local, .grant = grant, .number = ++to.sent, .pushed_in = step});
      send(owner, *(to.pending.end() - 1));
    }
  }
  for (int i = 0; i < world_.size(); ++i) push_leaving(static_cast<comm::Rank>((step + i) % world_.size()), step);   // each is first in turn
  if (headers_.empty()) return;
  // A header must not overtake its payload: one flush per peer between them, one after, so that "sent" means "there".
  for (comm::Rank owner : touched_) started_.push_back({transport_.flush(owner), owner});
  wait_for_all("a push");
  for (Header const& header : headers_)
    started_.push_back({transport_.put(header.owner, arena_.header_at(header.at), std::as_bytes(std::span{&header.header, 1})), header.owner});
  for (comm::Rank owner : touched_) started_.push_back({transport_.flush(owner), owner});
  wait_for_all("a push");
  headers_.clear();
  touched_.clear();
}

void Home::release(Stream& stream, Block from) {
  Directory& directory = stream.directory_;
  auto const released = [&](auto const& page) { return page.stream == &stream && page.block >= from; };
  for (comm::Rank owner = 0; owner < world_.size(); ++owner) {
    Channel& to = channel(owner);
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
        if (entry.owner != owner || (entry.life != PageLife::remote && entry.life != PageLife::lost)) continue;
        if (entry.moved) to.retires.push_back({entry.slot.index, 0, entry.generation});
        away = away || !entry.moved;
      }
    if (away) to.drops.push_back({stream.id_, from, 0, to.sent});
  }
  std::erase_if(homeless_, released);
  for (Block block = from; block < directory.blocks(); ++block)
    for (std::int32_t layer = 0; layer < options_.layers; ++layer) {
      DirectoryEntry& entry = directory.at(layer, block);
      if (entry.life == PageLife::sealed && entry.owner == world_.rank()) own_shard_.disown();
      if (entry.local.valid()) arena_.give_back(entry.local);
    }
  directory.resize(std::min(from, directory.blocks()));
  stream.length_ = std::min(stream.length_, first_position(from, options_.layout.page_tokens));
}

}  // namespace pikv::shards
