#include "shards/owner.hpp"

#include <algorithm>

namespace pikv::shards {

namespace {
Slot in_arena(std::int32_t index) { return {index, 0}; }
}  // namespace

Owner::Owner(Arena& arena, comm::Rank self, int ranks, std::size_t quota, Fingerprint const& fingerprint, Counts& counts)
    : arena_{arena},
      self_{self},
      quota_{quota},
      fingerprint_{fingerprint},
      counts_{counts},
      writers_(static_cast<std::size_t>(ranks)),
      index_(arena.slots(0)),
      held_(arena.slots(0)),
      pages_by_home_(static_cast<std::size_t>(ranks), 0) {}

void Owner::write_control(comm::Rank to, comm::MessageWriter& out) {
  Writer& writer = writers_[static_cast<std::size_t>(to)];
  out.value(writer.indexed);
  out.value(writer.granted);
  out.value(std::uint64_t{writer.unsent_grants});
  auto const grants = out.reserve<Grant>(writer.unsent_grants);
  std::copy(writer.lent.end() - static_cast<std::ptrdiff_t>(writer.unsent_grants), writer.lent.end(), grants.begin());
  writer.unsent_grants = 0;
}

void Owner::read_control(comm::Rank from, comm::MessageReader& in) {
  Writer& writer = writers_[static_cast<std::size_t>(from)];
  writer.sent = in.value<std::uint64_t>();
  writer.asked = static_cast<std::uint32_t>(in.value<std::uint64_t>());
  writer.unwanted = in.value<std::uint64_t>();
  auto const drops = in.value<std::uint64_t>();
  auto const retires = in.value<std::uint64_t>();
  writer.drops = in.array<Drop>(drops);
  writer.retires = in.array<Grant>(retires);
}

void Owner::after_control(Step step, Step oldest_step_in_flight) {
  arena_.reclaim(oldest_step_in_flight);
  for (comm::Rank writer = 0; writer < static_cast<int>(writers_.size()); ++writer) {
    if (writer == self_) continue;
    index_arrived(writer, step);
    drop_released(writer, step);
    take_back_unwanted(writer, step);
  }
  answer_requests(step);
}

void Owner::index_arrived(comm::Rank from, Step step) {
  Writer& writer = writers_[static_cast<std::size_t>(from)];
  // A writer hears of damage in the control exchange of the next step and repeats at that step's end: until the one after, a put may be
  // landing here, and what is verified now may be damaged by it a moment later.
  if (writer.damaged == writer.indexed + 1 && writer.damaged_in == step - 1) return;
  while (writer.indexed < writer.sent) {
    Grant const grant = writer.lent.front();
    Slot const slot = in_arena(grant.slot);
    PageHeader const& header = arena_.header(slot);
    ++counts_.checked;
    if (verify_arrived(header, arena_.payload(slot), grant.generation, fingerprint_) != Verdict::good || header.push != writer.indexed + 1 ||
        header.home >= writers_.size()) {
      if (writer.damaged != writer.indexed + 1) {   // once, however often it is looked at
        ++counts_.corrupt;
        arena_.events().record(PageEvent::corrupt, intact(header) ? header.key : key_of_nothing, from, slot, grant.generation);
      }
      writer.damaged = writer.indexed + 1;
      writer.damaged_in = step;
      return;   // not acknowledged: the writer repeats from here on, so nothing behind it is indexed either
    }
    arena_.book(slot, header.payload_bytes, false);
    index_[static_cast<std::size_t>(grant.slot)] = {header.home,           static_cast<std::int32_t>(header.tokens), header.key,
                                                    header.first_position, header.push, from, header.expert, 0};
    slots_of_stream_[header.key.stream].push_back(grant.slot);
    ++pages_by_home_[header.home];
    ++pages_;
    ++counts_.pages_remote;
    arena_.events().record(PageEvent::index, header.key, from, slot, grant.generation, header.payload_bytes);
    ++writer.indexed;
    writer.lent.pop();
  }
}

void Owner::drop_released(comm::Rank from, Step step) {
  Writer& writer = writers_[static_cast<std::size_t>(from)];
  for (Drop const& drop : writer.drops) {
    auto const found = slots_of_stream_.find(drop.stream);
    if (found == slots_of_stream_.end()) continue;
    std::erase_if(found->second, [&](std::int32_t slot) {
      IndexedPage const& page = indexed(in_arena(slot));
      if (page.home != from || page.writer != from || page.key.block < drop.from || page.push > drop.pushes) return false;
      retire(slot, step);
      return true;
    });
    if (found->second.empty()) slots_of_stream_.erase(found);
  }
  for (Grant const& page : writer.retires) {
    Slot const slot = in_arena(page.slot);
    bool const theirs = static_cast<std::size_t>(page.slot) < index_.size() && indexed(slot).home == from;
    if (theirs && arena_.generation(slot) == page.generation) evict(slot, step);
  }
  writer.drops = {};
  writer.retires = {};
}

void Owner::take_back_unwanted(comm::Rank from, Step step) {
  Writer& writer = writers_[static_cast<std::size_t>(from)];
  for (; writer.unwanted > 0; --writer.unwanted) {
    arena_.retire(in_arena(writer.lent.pop_newest().slot), step);
    --used_;
  }
}

void Owner::evict(Slot slot, Step step) {
  arena_.events().record(PageEvent::evict, indexed(slot).key, indexed(slot).home, slot, arena_.generation(slot));
  unlist(slot);
  retire(slot.index, step);
}

void Owner::unlist(Slot slot) {
  auto const found = slots_of_stream_.find(indexed(slot).key.stream);
  std::erase(found->second, slot.index);
  if (found->second.empty()) slots_of_stream_.erase(found);
}

void Owner::retire(std::int32_t slot, Step step) {
  IndexedPage& page = index_[static_cast<std::size_t>(slot)];
  --pages_by_home_[static_cast<std::size_t>(page.home)];
  page = {};
  --pages_;
  if (held(in_arena(slot))) {
    ++held_empty_;
    return;
  }
  --used_;
  arena_.retire(in_arena(slot), step);
}

void Owner::let_go(Slot slot, Step step) {
  held_[static_cast<std::size_t>(slot.index)] = false;
  if (indexed(slot).home >= 0) return;
  --held_empty_;
  --used_;
  arena_.retire(slot, step);
}

void Owner::come_home(Slot slot) {
  unlist(slot);
  --pages_by_home_[static_cast<std::size_t>(indexed(slot).home)];
  index_[static_cast<std::size_t>(slot.index)] = {};
  --pages_;
}

// One slot each in turn, beginning with another writer every step, so that scarce slots are shared evenly.
void Owner::answer_requests(Step step) {
  std::size_t const held = used_ + arena_.retired_slots(0);
  std::size_t left = std::min(quota_ > held ? quota_ - held : 0, arena_.free_slots(0));
  auto const ranks = writers_.size();
  for (bool any = true; any && left > 0;) {
    any = false;
    for (std::size_t i = 0; i < ranks && left > 0; ++i) {
      Writer& writer = writers_[(static_cast<std::size_t>(step) + i) % ranks];
      if (writer.asked == 0 || writer.unsent_grants == most_grants) continue;
      Slot const slot = arena_.take(0);
      writer.lent.push({slot.index, 0, arena_.generation(slot)});
      ++writer.granted;
      ++writer.unsent_grants;
      --writer.asked;
      ++used_;
      --left;
      any = true;
    }
  }
  for (Writer& writer : writers_) writer.asked = 0;   // answered: what was not granted is asked for elsewhere
}

bool Owner::holds(PageName page, PageKey const& key) const {
  if (page.slot < 0 || static_cast<std::size_t>(page.slot) >= index_.size()) return false;
  Slot const slot = in_arena(page.slot);
  IndexedPage const& held = indexed(slot);
  return held.home >= 0 && static_cast<std::uint32_t>(arena_.generation(slot)) == page.generation && held.key.stream == key.stream && held.key.layer == key.layer &&
         held.key.head_begin == key.head_begin && held.key.head_end == key.head_end;
}

std::size_t Owner::lent() const {
  std::size_t slots = 0;
  for (Writer const& writer : writers_) slots += writer.lent.size();
  return slots;
}

bool Owner::adopt() {
  if (used_ + arena_.retired_slots(0) >= quota_) return false;
  ++used_;
  return true;
}

}  // namespace pikv::shards
