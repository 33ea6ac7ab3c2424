#include "shards/arena.hpp"

#include <memory>
#include <stdexcept>
#include <string>

namespace pikv::shards {

Arena::Arena(comm::Transport& transport, std::vector<SizeClass> const& classes) {
  pools_.reserve(classes.size());
  for (SizeClass const& shape : classes) {
    std::size_t const slot_bytes = slot_bytes_for(shape.layout.bytes());
    Pool& pool = pools_.emplace_back(Pool{
        .layout = shape.layout,
        .slot_bytes = slot_bytes,
        .headers = transport.allocate(shape.slots * header_bytes, comm::Space::host),
        .payloads = transport.allocate(shape.slots * slot_bytes, comm::Space::host),
        .info = std::vector<SlotInfo>(shape.slots),
        .free = Fifo<std::int32_t>{shape.slots},
        .retired = Fifo<Retired>{shape.slots},
    });
    auto* const headers = reinterpret_cast<PageHeader*>(pool.headers.data);
    std::uninitialized_default_construct_n(headers, shape.slots);
    for (std::size_t i = 0; i < shape.slots; ++i) pool.free.push(static_cast<std::int32_t>(i));
    account_.allocated(pool.headers.bytes + pool.payloads.bytes);
  }
}

Slot Arena::take(std::int32_t size_class) {
  Pool& from = pool(Slot{.index = -1, .size_class = size_class});
  if (from.free.empty()) return Slot{.index = -1, .size_class = size_class};
  Slot const slot{.index = from.free.pop(), .size_class = size_class};
  info(slot).use = Use::taken;
  return slot;
}

void Arena::book(Slot slot, std::size_t payload_bytes, bool replica) {
  SlotInfo& booked = taken(slot);
  std::size_t const slot_bytes = pool(slot).slot_bytes;
  if (payload_bytes > slot_bytes) throw std::logic_error("arena: a payload larger than its slot");
  unbook(slot);
  booked.payload_bytes = payload_bytes;
  booked.booked = true;
  booked.replica = replica;
  account_.move(Memory::free, replica ? Memory::replicas : Memory::payload, payload_bytes);
  account_.move(Memory::free, replica ? Memory::replicas : Memory::header, header_bytes);
  account_.move(Memory::free, Memory::slack, slot_bytes - payload_bytes);
}

void Arena::unbook(Slot slot) {
  SlotInfo& booked = info(slot);
  if (!booked.booked) return;
  account_.move(booked.replica ? Memory::replicas : Memory::payload, Memory::free, booked.payload_bytes);
  account_.move(booked.replica ? Memory::replicas : Memory::header, Memory::free, header_bytes);
  account_.move(Memory::slack, Memory::free, pool(slot).slot_bytes - booked.payload_bytes);
  booked.booked = false;
}

void Arena::empty(Slot slot) {
  SlotInfo& emptied = taken(slot);
  unbook(slot);
  ++emptied.generation;
  header(slot) = PageHeader{};
}

void Arena::give_back(Slot slot) {
  empty(slot);
  info(slot).use = Use::free;
  pool(slot).free.push(slot.index);
}

void Arena::retire(Slot slot, Step step) {
  empty(slot);
  info(slot).use = Use::retired;
  pool(slot).retired.push({slot.index, step});
}

void Arena::reclaim(Step oldest_step_in_flight) {
  for (Pool& pool : pools_) {
    while (!pool.retired.empty() && pool.retired.front().step < oldest_step_in_flight) {
      std::int32_t const index = pool.retired.pop().index;
      pool.info[static_cast<std::size_t>(index)].use = Use::free;
      pool.free.push(index);
    }
  }
}

Arena::SlotInfo& Arena::taken(Slot slot) {
  SlotInfo& found = info(slot);
  if (found.use != Use::taken) throw std::logic_error("arena: slot " + std::to_string(slot.index) + " is not taken");
  return found;
}

std::uint64_t Arena::generation(Slot slot) const { return info(slot).generation; }
bool Arena::booked(Slot slot) const { return info(slot).booked; }
std::size_t Arena::free_slots(std::int32_t size_class) const { return pool(size_class).free.size(); }
std::size_t Arena::retired_slots(std::int32_t size_class) const { return pool(size_class).retired.size(); }
std::size_t Arena::slots(std::int32_t size_class) const { return pool(size_class).info.size(); }

PageHeader& Arena::header(Slot slot) {
  info(slot);
  return reinterpret_cast<PageHeader*>(pool(slot).headers.data)[slot.index];
}

std::span<std::byte> Arena::payload(Slot slot) {
  info(slot);
  return {pool(slot).payloads.data + payload_at(slot).byte, pool(slot).layout.bytes()};
}

kernels::PoolView Arena::view(std::int32_t size_class) const {
  Pool const& from = pool(size_class);
  return {.base = from.payloads.data, .slot_bytes = from.slot_bytes, .layout = from.layout};
}

comm::Offset Arena::header_at(Slot slot) const { return pool(slot.size_class).headers.at(static_cast<std::uint64_t>(slot.index) * header_bytes); }

comm::Offset Arena::payload_at(Slot slot) const {
  Pool const& from = pool(slot.size_class);
  return from.payloads.at(static_cast<std::uint64_t>(slot.index) * from.slot_bytes);
}

std::size_t slot_cost(kernels::PageLayout const& layout) { return header_bytes + slot_bytes_for(layout.bytes()); }

}  // namespace pikv::shards
