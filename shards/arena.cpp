#include "shards/arena.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>

namespace pikv::shards {

Arena::Arena(comm::Transport& transport, std::vector<SizeClass> const& classes, kernels::Device& device) : device_{device} {
  comm::Space const of_payloads = device.is_host() ? comm::Space::host : comm::Space::device;
  pools_.reserve(classes.size());
  auto const count = static_cast<std::int32_t>(classes.size());
  for (SizeClass const& shape : classes) {
    std::size_t const slot_bytes = shape.slot_bytes();
    end_ = std::max(end_, static_cast<std::int32_t>(shape.slots) * count);
    Pool& pool = pools_.emplace_back(Pool{
        .shape = shape,
        .slot_bytes = slot_bytes,
        .headers = transport.allocate(shape.slots * header_bytes, comm::Space::host),
        .payloads = transport.allocate(shape.slots * slot_bytes, of_payloads),
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
  Pool& from = pool(size_class);
  if (from.free.empty()) return {};
  Slot const slot{from.free.pop() * classes() + size_class};
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
  pool(slot).free.push(place(slot));
}

void Arena::retire(Slot slot, Step step) {
  empty(slot);
  info(slot).use = Use::retired;
  pool(slot).retired.push({place(slot), step});
}

void Arena::reclaim(Step oldest_step_in_flight) {
  for (Pool& pool : pools_) {
    while (!pool.retired.empty() && pool.retired.front().step < oldest_step_in_flight) {
      std::int32_t const place = pool.retired.pop().place;
      pool.info[static_cast<std::size_t>(place)].use = Use::free;
      pool.free.push(place);
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
bool Arena::is_slot(Slot slot) const { return slot.index >= 0 && static_cast<std::size_t>(place(slot)) < pool(slot).info.size(); }

PageHeader& Arena::header(Slot slot) {
  info(slot);
  return reinterpret_cast<PageHeader*>(pool(slot).headers.data)[place(slot)];
}

std::span<std::byte> Arena::payload(Slot slot) {
  info(slot);
  return {pool(slot).payloads.data + payload_at(slot).byte, pool(slot).shape.payload_bytes()};
}

kernels::PoolView Arena::view(std::int32_t size_class) const {
  Pool const& from = pool(size_class);
  return {.base = from.payloads.data, .slot_bytes = from.slot_bytes, .layout = from.shape.layout};
}

kernels::FormedPool Arena::coded(std::int32_t size_class, kernels::CodedForm const& form) const {
  Pool const& from = pool(size_class);
  return {.base = from.payloads.data, .slot_bytes = from.slot_bytes, .form = &form};
}

void Arena::take_checksums_of(Slot slot, std::size_t bytes, std::size_t slices, std::uint64_t* out) {
  bool const whole = bytes % slices == 0;
  if (!device_.is_host() && whole && device_.checksums(payload(slot).data(), bytes / slices, slices, out)) return;
  take_checksums(read(slot, bytes), slices, out);
}

void Arena::seal(PageHeader& header, Slot slot, std::size_t payload_bytes) {
  auto const of_slot = [&](std::size_t bytes, std::size_t slices, std::uint64_t* out) { take_checksums_of(slot, bytes, slices, out); };
  shards::seal(header, payload_bytes, of_slot, pool(slot).shape.layout);
}

Verdict Arena::verify(PageHeader const& header, Slot slot, PageKey const& key, std::uint64_t generation, Fingerprint const& fingerprint) {
  auto const of_slot = [&](std::size_t bytes, std::size_t slices, std::uint64_t* out) { take_checksums_of(slot, bytes, slices, out); };
  return shards::verify(header, payload(slot).size(), of_slot, key, generation, fingerprint);
}

Verdict Arena::verify_arrived(PageHeader const& header, Slot slot, std::uint64_t generation, Fingerprint const& fingerprint) {
  return verify(header, slot, header.key, generation, fingerprint);
}

std::span<std::byte const> Arena::read(Slot slot, std::size_t bytes) {
  std::span<std::byte const> const there = payload(slot).first(bytes);
  if (device_.is_host()) return there;
  std::span<std::byte> const here = read_.resize(bytes);
  device_.copy_out(here, there.data());
  return here;
}

void Arena::copy_out(Slot slot, std::span<std::byte> to) const { device_.copy_out(to, pool(slot).payloads.data + payload_at(slot).byte); }

bool Arena::fill(Slot slot, std::size_t bytes, comm::FunctionRef<bool(std::span<std::byte> into)> bring) {
  std::span<std::byte> const there = payload(slot).first(bytes);
  if (device_.is_host()) return bring(there);
  std::span<std::byte> const here = read_.resize(bytes);
  if (!bring(here)) return false;
  device_.copy_in(there.data(), here);
  return true;
}

Arena::HostPage Arena::host_page(Slot slot) {
  if (device_.is_host()) return {view(0), place(slot)};
  std::span<std::byte> const here = host_page_.resize(payload(slot).size());
  copy_out(slot, here);
  return {{here.data(), here.size(), pool(slot).shape.layout}, 0};
}

kernels::CodedErrors Arena::errors(Slot slot, kernels::CodedLayout const& layout) {
  return kernels::coded_errors(layout, read(slot, 2 * sizeof(float) * static_cast<std::size_t>(layout.kv_heads)).data());
}

comm::Offset Arena::header_at(Slot slot) const { return pool(slot).headers.at(static_cast<std::uint64_t>(place(slot)) * header_bytes); }

comm::Offset Arena::payload_at(Slot slot) const {
  Pool const& from = pool(slot);
  return from.payloads.at(static_cast<std::uint64_t>(place(slot)) * from.slot_bytes);
}

}  // namespace pikv::shards
