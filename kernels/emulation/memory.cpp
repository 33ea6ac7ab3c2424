#include "kernels/emulation/memory.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <stdexcept>

#include "kernels/emulation/emulation.hpp"

namespace pikv::kernels::emulation {
namespace {

constexpr std::size_t device_bytes = std::size_t{1} << 31, alignment = 256;

/// Bytes whose cells are filled in only when a kernel comes: until then one byte says what all of them are.
constexpr std::size_t granule = 64;
constexpr std::uint8_t filled_in = 255;   // or a Moment before any launch

std::byte* reserve(std::size_t bytes) {   // zeros, that take memory where they are touched
  void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) throw std::runtime_error(fmt::format("the emulated device could not reserve {} bytes of addresses; raise ulimit -v", bytes));
  return static_cast<std::byte*>(at);
}

struct Device {
  std::byte* base = reserve(device_bytes);
  Cell* cells = reinterpret_cast<Cell*>(reserve(device_bytes * sizeof(Cell)));
  std::uint8_t* granules = reinterpret_cast<std::uint8_t*>(reserve(device_bytes / granule));
  std::size_t used = 0;   // addresses are not used twice while anything is allocated: what points to freed memory shows
  std::map<std::byte const*, std::size_t> allocations;
  bool fenced = false;
  int opened = 0;   // Opened that live
};

Device& device() {
  static Device the_device;
  return the_device;
}

void allow(bool touched) {
  if (::mprotect(device().base, device_bytes, touched ? PROT_READ | PROT_WRITE : PROT_NONE) != 0) throw std::runtime_error("the emulated device could not be fenced");
}

void fill_in(std::size_t number) {
  std::uint8_t& state = device().granules[number];
  if (state == filled_in) return;
  Cell* const cells = device().cells + number * granule;
  std::fill(cells, cells + granule, Cell{.written = state});
  state = filled_in;
}

void mark(void const* at, std::size_t bytes, Moment moment) {
  Device& of = device();
  auto const begin = static_cast<std::size_t>(static_cast<std::byte const*>(at) - of.base), end = begin + bytes;
  std::size_t const first_whole = (begin + granule - 1) / granule, end_whole = end / granule;
  if (first_whole < end_whole) std::memset(of.granules + first_whole, static_cast<int>(moment), end_whole - first_whole);
  auto const mark_cells = [&](std::size_t from, std::size_t to) {
    if (from >= to) return;
    fill_in(from / granule);
    std::fill(of.cells + from, of.cells + to, Cell{.written = moment});
  };
  mark_cells(begin, std::min(end, first_whole * granule));
  if (end_whole >= first_whole) mark_cells(end_whole * granule, end);
}

/// The last allocation that starts at or before `at`.
auto allocation_before(std::byte const* at) {
  auto const& all = device().allocations;
  auto const after = all.upper_bound(at);
  return after == all.begin() ? all.end() : std::prev(after);
}

}  // namespace

void fence_device_memory() {
  device().fenced = true;
  allow(false);
}

Opened::Opened() {
  if (device().fenced && device().opened++ == 0) allow(true);
}

Opened::~Opened() {
  if (device().fenced && --device().opened == 0) allow(false);
}

std::byte* allocate_device(std::size_t bytes) {
  Device& of = device();
  std::size_t const taken = (bytes + 2 * alignment - 1) / alignment * alignment;   // and a gap after it
  if (taken > device_bytes - of.used) return nullptr;
  std::byte* const at = of.base + of.used;
  of.used += taken;
  of.allocations.emplace(at, bytes);
  mark(at, bytes, not_written);
  Opened const opened;
  std::memset(at, 0xFF, bytes);   // NaN
  return at;
}

bool free_device(void* at) {
  Device& of = device();
  auto const found = of.allocations.find(static_cast<std::byte const*>(at));
  if (found == of.allocations.end()) return false;
  mark(at, found->second, not_allocated);
  of.allocations.erase(found);
  if (of.allocations.empty()) of.used = 0;
  return true;
}

std::size_t free_device_bytes() { return device_bytes - device().used; }

bool is_device(void const* at) {
  auto const* const byte = static_cast<std::byte const*>(at);
  return byte >= device().base && byte < device().base + device_bytes;
}

bool holds(void const* at, std::size_t bytes) {
  auto const* const byte = static_cast<std::byte const*>(at);
  auto const found = allocation_before(byte);
  return found != device().allocations.end() && byte + bytes <= found->first + found->second;
}

Cell* device_cells(void const* at, std::size_t bytes) {
  Device& of = device();
  auto const offset = static_cast<std::size_t>(static_cast<std::byte const*>(at) - of.base);
  for (std::size_t number = offset / granule; number <= (offset + bytes - 1) / granule; ++number) fill_in(number);
  return of.cells + offset;
}

void mark_written(void const* at, std::size_t bytes) { mark(at, bytes, written_by_host); }

std::string place_on_device(void const* at) {
  auto const* const byte = static_cast<std::byte const*>(at);
  auto const found = allocation_before(byte);
  if (found == device().allocations.end()) return "outside every allocation";
  auto const& [start, bytes] = *found;
  auto const offset = static_cast<std::size_t>(byte - start);
  if (offset < bytes) return fmt::format("at byte {} of an allocation of {} bytes", offset, bytes);
  return fmt::format("{} bytes after the end of an allocation of {} bytes", offset - bytes, bytes);
}

}  // namespace pikv::kernels::emulation
