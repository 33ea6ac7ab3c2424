#include "shards/owner.hpp"

#include <algorithm>

namespace pikv::shards {

namespace {
Slot in_arena(std::int32_t index) { return {index}; }
}  // namespace

Owner::Owner(Arena& arena, comm::Rank self, int ranks, std::vector<std::size_t> const& quota, Fingerprint const& fingerprint, Counts& counts)
    : arena_{arena},
      self_{self},
      ranks_{ranks},
      fingerprint_{fingerprint},
      counts_{counts},
      index_(static_cast<std::size_t>(arena.end())),
      held_(static_cast<std::size_t>(arena.end())),
      pages_by_home_(static_cast<std::size_t>(ranks), 0) {
  for (std::size_t const slots : quota) shelves_.push_back({.quota = slots, .writers = std::vector<Writer>(static_cast<std::size_t>(ranks))});
}

std::size_t Owner::sum(std::size_t Shelf::* of) const {
  std::size_t all = 0;
  for (Shelf const& shelf : shelves_) all += shelf.*of;
  return all;
}

void Owner::write_control(comm::Rank to, comm::MessageWriter& out) {
  for (Shelf& shelf : shelves_) {
    Writer& writer = shelf.writers[static_cast<std::size_t>(to)];
    out.value(writer.indexed);
    out.value(writer.granted);
    out.value(std::uint64_t{writer.unsent_grants});
    auto const grants = out.reserve<Grant>(writer.unsent_grants);
    std::copy(writer.lent.end() - static_cast<std::ptrdiff_t>(writer.unsent_grants), writer.lent.end(), grants.begin());
    writer.unsent_grants = 0;
  }
}

void Owner::read_control(comm::Rank from, comm::MessageReader& in) {
  for (Shelf& shelf : shelves_) {
    Writer& writer = shelf.writers[static_cast<std::size_t>(from)];
    writer.sent = in.value<std::uint64_t>();
    writer.asked = static_cast<std::uint32_t>(in.value<std::uint64_t>());
    writer.unwanted = in.value<std::uint64_t>();
    auto const drops = in.value<std::uint64_t>();
    auto const retires = in.value<std::uint64_t>();
    writer.drops = in.array<Drop>(drops);
    writer.retires = in.array<Grant>(retires);
  }
}

void Owner::after_control(Step step, Step oldest_step_in_flight) {
  arena_.reclaim(oldest_step_in_flight);
  for (std::int32_t size_class = 0; size_class < arena_.classes(); ++size_class) {
    for (comm::Rank writer = 0; writer < ranks_; ++writer) {
      if (writer == self_) continue;
      index_arrived(writer, size_class, step);
      drop_released(writer, size_class, step);
      take_back_unwanted(writer, size_class, step);
    }
    answer_requests(size_class, step);
  }
}

void Owner::index_arrived(comm::Rank from, std::int32_t size_class, Step step) {
  Writer& writer = this->writer(from, size_class);
  // A writer hears of damage in the control exchange of the next step and repeats at that step's end: until the one after, a put may be
  // landing here, and what is verified now may be damaged by it a moment later.
  if (writer.damaged == writer.indexed + 1 && writer.damaged_in == step - 1) return;
  while (writer.indexed < writer.sent) {
    Grant const grant = writer.lent.front();
    Slot const slot = in_arena(grant.slot);
    PageHeader const& header = arena_.header(slot);
    ++counts_.checked;
    if (arena_.verify_arrived(header, slot, grant.generation, fingerprint_) != Verdict::good || header.push != writer.indexed + 1 ||
        header.home >= ranks_) {
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
    ++shelf(size_class).pages;
    ++counts_.pages_remote;
    arena_.events().record(PageEvent::index, header.key, from, slot, grant.generation, header.payload_bytes);
    ++writer.indexed;
    writer.lent.pop();
  }
}

bool Owner::takes(Drop const& drop, comm::Rank from, IndexedPage const& page) const {
  if (page.home != from || page.key.block < drop.from) return false;
  return page.writer == from ? page.push <= drop.pushes : page.writer == self_ && page.push <= drop.orders;
}

void Owner::drop_released(comm::Rank from, std::int32_t size_class, Step step) {
  Writer& writer = this->writer(from, size_class);
  for (Drop const& drop : writer.drops) {
    auto const found = slots_of_stream_.find(drop.stream);
    if (found == slots_of_stream_.end()) continue;
    std::erase_if(found->second, [&](std::int32_t slot) {
      IndexedPage const& page = indexed(in_arena(slot));
      if (arena_.size_class(in_arena(slot)) != size_class || !takes(drop, from, page)) return false;
      retire(slot, step);
      return true;
    });
    if (found->second.empty()) slots_of_stream_.erase(found);
  }
  for (Grant const& page : writer.retires) {
    Slot const slot = in_arena(page.slot);
    bool const theirs = arena_.is_slot(slot) && indexed(slot).home == from;
    if (theirs && arena_.generation(slot) == page.generation) evict(slot, step);
  }
  writer.drops = {};
  writer.retires = {};
}

void Owner::take_back_unwanted(comm::Rank from, std::int32_t size_class, Step step) {
  Writer& writer = this->writer(from, size_class);
  for (; writer.unwanted > 0; --writer.unwanted) {
    arena_.retire(in_arena(writer.lent.pop_newest().slot), step);
    --shelf(size_class).used;
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
  Shelf& from = shelf(in_arena(slot));
  --from.pages;
  if (held(in_arena(slot))) {
    ++from.held_empty;
    return;
  }
  --from.used;
  arena_.retire(in_arena(slot), step);
}

void Owner::let_go(Slot slot, Step step) {
  held_[static_cast<std::size_t>(slot.index)] = false;
  if (indexed(slot).home >= 0) return;
  --shelf(slot).held_empty;
  --shelf(slot).used;
  arena_.retire(slot, step);
}

void Owner::index_recoded(Slot warm, Slot cold, std::uint64_t order) {
  IndexedPage page = indexed(warm);
  page.writer = self_;
  page.push = order;
  page.reads = 0;
  index_[static_cast<std::size_t>(cold.index)] = page;
  slots_of_stream_[page.key.stream].push_back(cold.index);
  ++pages_by_home_[static_cast<std::size_t>(page.home)];
  ++shelf(cold).pages;
  ++shelf(cold).used;
}

void Owner::come_home(Slot slot) {
  unlist(slot);
  --pages_by_home_[static_cast<std::size_t>(indexed(slot).home)];
  index_[static_cast<std::size_t>(slot.index)] = {};
  --shelf(slot).pages;
}

// One slot each in turn, beginning with another writer every step, so that scarce slots are shared evenly.
void Owner::answer_requests(std::int32_t size_class, Step step) {
  Shelf& from = shelf(size_class);
  std::size_t const held = from.used + arena_.retired_slots(size_class);
  std::size_t left = std::min(from.quota > held ? from.quota - held : 0, arena_.free_slots(size_class));
  auto const ranks = from.writers.size();
  for (bool any = true; any && left > 0;) {
    any = false;
    for (std::size_t i = 0; i < ranks && left > 0; ++i) {
      Writer& writer = from.writers[(static_cast<std::size_t>(step) + i) % ranks];
      if (writer.asked == 0 || writer.unsent_grants == most_grants) continue;
      Slot const slot = arena_.take(size_class);
      writer.lent.push({slot.index, 0, arena_.generation(slot)});
      ++writer.granted;
      ++writer.unsent_grants;
      --writer.asked;
      ++from.used;
      --left;
      any = true;
    }
  }
  for (Writer& writer : from.writers) writer.asked = 0;   // answered: what was not granted is asked for elsewhere
}

bool Owner::holds(PageName page, PageKey const& key) const {
  Slot const slot = in_arena(page.slot);
  if (!arena_.is_slot(slot)) return false;
  IndexedPage const& held = indexed(slot);
  return held.home >= 0 && static_cast<std::uint32_t>(arena_.generation(slot)) == page.generation && held.key.stream == key.stream && held.key.layer == key.layer &&
         held.key.head_begin == key.head_begin && held.key.head_end == key.head_end;
}

std::size_t Owner::lent() const {
  std::size_t slots = 0;
  for (Shelf const& shelf : shelves_)
    for (Writer const& writer : shelf.writers) slots += writer.lent.size();
  return slots;
}

bool Owner::adopt(std::int32_t size_class) {
  Shelf& from = shelf(size_class);
  if (from.used + arena_.retired_slots(size_class) >= from.quota) return false;
  ++from.used;
  return true;
}

}  // namespace pikv::shards
