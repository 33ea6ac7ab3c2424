#include "shards/replicas.hpp"

#include <algorithm>
#include <string>

#include "shards/page_key.hpp"

namespace pikv::shards {

namespace {
constexpr int most_tries = 4;
}

Replicas::Replicas(comm::World& world, comm::Transport& transport, Arena& arena, StoreOptions const& options, Counts& counts)
    : world_{world}, transport_{transport}, arena_{arena}, options_{options}, counts_{counts},
      held_(static_cast<std::size_t>(options.layers) * static_cast<std::size_t>(arena.classes())),
      pages_(static_cast<std::size_t>(arena.classes()), 0) {}

std::size_t Replicas::started(std::int32_t size_class) const {
  return static_cast<std::size_t>(std::ranges::count_if(started_, [&](Get const& get) { return arena_.size_class(get.copy.slot) == size_class; }));
}

std::size_t Replicas::room(std::int32_t layer, std::int32_t size_class) const {
  std::size_t const under_way = started(size_class), kept = held_[queue(layer, size_class)].size() + under_way;
  std::size_t const most = std::min(options_.slots_of(size_class).replica_slots, arena_.free_slots(size_class) + pages(size_class) + under_way);
  return most > kept ? most - kept : 0;
}

void Replicas::fetch(Stream& stream, std::int32_t layer, Block block) {
  std::int32_t const size_class = arena_.size_class(stream.directory_.at(layer, block).slot);
  bool const full = pages(size_class) + started(size_class) >= options_.slots_of(size_class).replica_slots;
  if (full || arena_.free_slots(size_class) == 0) (void)drop_one(layer, size_class, false);
  Slot const slot = arena_.take(size_class);
  std::span<std::byte> const payload = arena_.payload(slot);
  started_.push_back({{&stream, layer, block, slot}, {}, {}, arena_.device().is_host() ? payload : landing_.take(payload.size())});
  start(started_.back());
}

void Replicas::start(Get& get) {
  DirectoryEntry const& entry = get.copy.stream->directory_.at(get.copy.layer, get.copy.block);
  get.header = transport_.get(entry.owner, arena_.header_at(entry.slot), std::as_writable_bytes(std::span{&arena_.header(get.copy.slot), 1}));
  get.payload = transport_.get(entry.owner, arena_.payload_at(entry.slot), get.landed);
  ++counts_.pages_fetched;
  arena_.events().record(PageEvent::fetch, get.copy.stream->id(), get.copy.layer, get.copy.block, entry.owner, entry.slot, entry.generation,
                         get.landed.size());
}

void Replicas::wait(Get const& get, comm::Deadline deadline) {
  comm::Rank const owner = get.copy.stream->directory_.at(get.copy.layer, get.copy.block).owner;
  for (comm::Op const op : {get.header, get.payload}) {
    comm::Status const status = transport_.wait(op, deadline);
    if (status == comm::Status::arrived) continue;
    ++counts_.timeout;
    if (status == comm::Status::peer_gone) throw RunError(gone_ranks_sentence(world_));
    throw RunError("a fetch from rank " + std::to_string(owner) + " (" + world_.host_name(owner) + ") ended as " + to_string(status) +
                   "; look at that host, or raise --deadline");
  }
}

void Replicas::finish(std::vector<Damage>& damages) {
  for (int tries = 1; !started_.empty(); ++tries) {
    comm::Deadline const deadline = world_.in(options_.deadline_s);
    for (Get& get : started_) {
      wait(get, deadline);
      Stream& stream = *get.copy.stream;
      DirectoryEntry& entry = stream.directory_.at(get.copy.layer, get.copy.block);
      PageKey const key = key_of(options_, stream.id_, get.copy.layer, get.copy.block);
      ++counts_.checked;
      if (!arena_.device().is_host()) arena_.device().copy_in(arena_.payload(get.copy.slot).data(), get.landed);
      Verdict const verdict = arena_.verify(arena_.header(get.copy.slot), get.copy.slot, key, entry.generation, options_.fingerprint);
      if (verdict == Verdict::good) {
        arena_.book(get.copy.slot, arena_.header(get.copy.slot).payload_bytes, true);
        entry.replica = get.copy.slot;
        held_[queue(get.copy.layer, arena_.size_class(get.copy.slot))].push(get.copy);
        ++pages_[static_cast<std::size_t>(arena_.size_class(get.copy.slot))];
        continue;
      }
      // An empty header may be a get that brought nothing; one that stays empty is a slot whose page is gone.
      bool const gone = verdict == Verdict::wrong_generation || verdict == Verdict::wrong_key || (verdict == Verdict::not_ready && tries == most_tries);
      ++(gone ? counts_.stale : counts_.corrupt);
      arena_.events().record(gone ? PageEvent::stale : PageEvent::corrupt, key, entry.owner, entry.slot, entry.generation);
      if (!gone && tries < most_tries) {
        again_.push_back(get);
        continue;
      }
      arena_.give_back(get.copy.slot);
      entry.life = PageLife::lost;
      ++counts_.lost;
      arena_.events().record(PageEvent::miss, key, entry.owner, entry.slot, entry.generation);
      damages.push_back({&stream, get.copy.block});
    }
    started_.swap(again_);
    again_.clear();
    for (Get& get : started_) {
      ++counts_.refetched;
      start(get);
    }
  }
  landing_.clear();
}

bool Replicas::drop_one(std::int32_t layer, std::int32_t size_class, bool any) {
  for (std::int32_t back = 1; back <= (any ? options_.layers : options_.layers - 1); ++back) {
    auto& copies = held_[queue((layer + options_.layers - back) % options_.layers, size_class)];
    if (copies.empty()) continue;
    Copy const copy = copies.front();
    copies.pop();
    free(copy);
    return true;
  }
  return false;
}

void Replicas::drop(Stream const& stream, Block from) {
  for (auto& copies : held_)
    copies.erase_if([&](Copy const& copy) {
      if (copy.stream != &stream || copy.block < from) return false;
      free(copy);
      return true;
    });
}

void Replicas::drop(Stream const& stream, std::int32_t table, Block block) {
  Slot const copy = stream.directory().at(table, block).replica;
  if (!copy.valid()) return;
  held_[queue(table, arena_.size_class(copy))].erase_if([&](Copy const& held) {
    if (held.slot != copy) return false;
    free(held);
    return true;
  });
}

bool Replicas::drop(Slot slot) {
  bool found = false;
  for (auto& copies : held_)
    copies.erase_if([&](Copy const& copy) {
      if (copy.slot != slot) return false;
      arena_.events().record(PageEvent::corrupt, copy.stream->id(), copy.layer, copy.block, -1, slot, arena_.generation(slot));
      free(copy);
      return found = true;
    });
  return found;
}

void Replicas::free(Copy const& copy) {
  copy.stream->directory_.at(copy.layer, copy.block).replica = {};
  --pages_[static_cast<std::size_t>(arena_.size_class(copy.slot))];
  arena_.give_back(copy.slot);
}

}  // namespace pikv::shards
