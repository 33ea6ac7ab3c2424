// What the compiler's instrumentation calls (-fsanitize=thread): one function per size of load and store. The thread sanitizer's library is not
// linked.
#include <fmt/format.h>
#include <link.h>

#include <cstring>
#include <vector>

#include "kernels/emulation/block.hpp"
#include "kernels/emulation/memory.hpp"
#include "kernels/emulation/running.hpp"

extern std::byte const __start_pikv_builtins[], __stop_pikv_builtins[];   // threadIdx and the like

namespace pikv::kernels::emulation {
namespace {

struct Range {
  std::byte const* begin = nullptr;
  std::byte const* end = nullptr;
  bool has(std::byte const* at) const { return at >= begin && at < end; }
};

/// The program's own memory: constants, and the variables, which of a kernel can only be static shared memory.
struct Program {
  std::vector<Range> constants;
  Range variables;
  std::vector<Cell> cells;   // of the variables

  Program() {
    dl_iterate_phdr([](dl_phdr_info* info, std::size_t, void* program) { return static_cast<Program*>(program)->look(*info); }, this);
    cells.resize(static_cast<std::size_t>(variables.end - variables.begin));
  }
  bool is_constant(std::byte const* at) const {
    return std::any_of(constants.begin(), constants.end(), [&](Range const& range) { return range.has(at); });
  }

 private:
  int look(dl_phdr_info const& info) {
    for (int i = 0; i < info.dlpi_phnum; ++i) {
      auto const& header = info.dlpi_phdr[i];
      auto const* const begin = reinterpret_cast<std::byte const*>(info.dlpi_addr + header.p_vaddr);
      Range const range{begin, begin + header.p_memsz};
      if (header.p_type == PT_GNU_RELRO || (header.p_type == PT_LOAD && !(header.p_flags & PF_W))) constants.push_back(range);
      if (header.p_type == PT_LOAD && (header.p_flags & PF_W)) variables = range;
    }
    return 1;   // the program comes first; libraries are not looked at
  }
};

Program& program() {
  static Program of_this_process;
  return of_this_process;
}

char const* verb(Kind kind) { return kind == Kind::read ? "reads" : kind == Kind::write ? "writes" : "changes atomically"; }

std::string where_is(void const* at, bool shared) {
  auto const* const byte = static_cast<std::byte const*>(at);
  if (!shared) return place_on_device(at);
  if (byte >= dynamic_shared_bytes && byte < dynamic_shared_bytes + most_shared_bytes)
    return fmt::format("at byte {} of the dynamic shared memory", byte - dynamic_shared_bytes);
  return "in static shared memory";
}

[[noreturn]] void report_finding(Finding finding, void const* at, std::size_t bytes, std::size_t byte, Kind kind, Cell const& cell,
                                 History const& history, bool shared) {
  std::string const access = fmt::format("{} {} bytes {}", verb(kind), bytes, where_is(at, shared));
  if (finding == Finding::outside) report(fmt::format("{}, of which byte {} lies outside the allocation", access, byte));
  if (finding == Finding::unwritten) report(access + ", which nothing has written");
  bool const same_block = history.in_this_block(finding == Finding::races_with_write ? cell.written : cell.read);
  std::string const other = !same_block                            ? "another block"
                            : finding == Finding::races_with_write ? fmt::format("thread {} of the block", cell.writer)
                            : cell.read_warp == many_warps         ? "threads of several warps"
                            : std::has_single_bit(cell.read_lanes)
                                ? fmt::format("thread {} of the block", cell.read_warp * 32 + std::countr_zero(cell.read_lanes))
                                : fmt::format("lanes {:#x} of warp {}", cell.read_lanes, cell.read_warp);
  bool const several = same_block && finding == Finding::races_with_read && (cell.read_warp == many_warps || !std::has_single_bit(cell.read_lanes));
  report(fmt::format("{}, a race: {} {} there, and {}", access, other,
                     finding == Finding::races_with_write ? "wrote"
                     : several                            ? "read"
                                                          : "reads",
                     same_block ? "no barrier stands between" : "nothing orders the blocks of a launch"));
}

void check_cells(Running const& me, Cell* cells, void const* at, std::size_t bytes, Kind kind, bool shared) {
  for (std::size_t i = 0; i < bytes; ++i) {
    Finding const finding = note_access(cells[i], kind, me.place, *me.history, shared);
    if (finding != Finding::fine) [[unlikely]]
      report_finding(finding, at, bytes, i, kind, cells[i], *me.history, shared);
  }
}

Cell dynamic_cells[most_shared_bytes];

}  // namespace

void check_access(Running const& me, void const* at, std::size_t bytes, Kind kind) {
  auto const* const byte = static_cast<std::byte const*>(at);
  if (byte >= me.stack && byte < me.stack + me.stack_bytes) return;
  if (is_device(at)) return check_cells(me, device_cells(at, bytes), at, bytes, kind, false);
  if (byte >= dynamic_shared_bytes && byte < dynamic_shared_bytes + most_shared_bytes) {
    auto const offset = static_cast<std::size_t>(byte - dynamic_shared_bytes);
    if (offset + bytes > me.dynamic_bytes)
      report(fmt::format("{} {} bytes at byte {} of the dynamic shared memory, of which the launch asked for {} bytes", verb(kind), bytes, offset,
                         me.dynamic_bytes));
    return check_cells(me, dynamic_cells + offset, at, bytes, kind, true);
  }
  if (kind == Kind::read && ((byte >= __start_pikv_builtins && byte < __stop_pikv_builtins) ||
                             (byte >= me.arguments && byte < me.arguments + me.argument_bytes) || program().is_constant(byte)))
    return;
  Range const variables = program().variables;
  if (variables.has(byte) && !program().is_constant(byte))
    return check_cells(me, program().cells.data() + (byte - variables.begin), at, bytes, kind, true);
  report(fmt::format("{} {} bytes of {}", verb(kind), bytes, program().is_constant(byte) ? "constants" : "host memory or another thread's stack"));
}

}  // namespace pikv::kernels::emulation

namespace {

using pikv::kernels::emulation::Kind;

void any(void const* at, std::size_t bytes, Kind kind) {
  using namespace pikv::kernels::emulation;
  Running const* const me = running;
  if (!me) return;
  Unchecked const unchecked;
  check_access(*me, at, bytes, kind);
}

template <std::size_t bytes, Kind kind>
void aligned(void const* at) {
  using namespace pikv::kernels::emulation;
  if (!running) return;
  if (reinterpret_cast<std::uintptr_t>(at) % bytes != 0) [[unlikely]] {
    Unchecked const unchecked;
    report(fmt::format("{} {} bytes {}, an address that is no multiple of {}", verb(kind), bytes,
                       is_device(at) ? place_on_device(at) : "of shared or local memory", bytes));
  }
  any(at, bytes, kind);
}

}  // namespace

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_read(void** at) { any(at, sizeof(void*), Kind::read); }
void __tsan_vptr_update(void** at, void*) { any(at, sizeof(void*), Kind::write); }
void __tsan_read_range(void* at, std::size_t bytes) { any(at, bytes, Kind::read); }
void __tsan_write_range(void* at, std::size_t bytes) { any(at, bytes, Kind::write); }

#define PIKV_ACCESS(bytes)                                                         \
  void __tsan_read##bytes(void* at) { aligned<bytes, Kind::read>(at); }            \
  void __tsan_write##bytes(void* at) { aligned<bytes, Kind::write>(at); }          \
  void __tsan_volatile_read##bytes(void* at) { aligned<bytes, Kind::read>(at); }   \
  void __tsan_volatile_write##bytes(void* at) { aligned<bytes, Kind::write>(at); } \
  void __tsan_unaligned_read##bytes(void* at) { any(at, bytes, Kind::read); }      \
  void __tsan_unaligned_write##bytes(void* at) { any(at, bytes, Kind::write); }
PIKV_ACCESS(1)
PIKV_ACCESS(2)
PIKV_ACCESS(4)
PIKV_ACCESS(8)
PIKV_ACCESS(16)
#undef PIKV_ACCESS

// Of host code in a .cu file: the real thing. Kernels use atomicAdd and its relatives.
#define PIKV_ATOMIC(bits, type)                                                                                                        \
  type __tsan_atomic##bits##_load(type const volatile* at, int) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); }                      \
  void __tsan_atomic##bits##_store(type volatile* at, type value, int) { __atomic_store_n(at, value, __ATOMIC_SEQ_CST); }              \
  type __tsan_atomic##bits##_exchange(type volatile* at, type value, int) { return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST); } \
  type __tsan_atomic##bits##_fetch_add(type volatile* at, type value, int) { return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST); } \
  type __tsan_atomic##bits##_fetch_sub(type volatile* at, type value, int) { return __atomic_fetch_sub(at, value, __ATOMIC_SEQ_CST); } \
  type __tsan_atomic##bits##_fetch_and(type volatile* at, type value, int) { return __atomic_fetch_and(at, value, __ATOMIC_SEQ_CST); } \
  type __tsan_atomic##bits##_fetch_or(type volatile* at, type value, int) { return __atomic_fetch_or(at, value, __ATOMIC_SEQ_CST); }   \
  type __tsan_atomic##bits##_fetch_xor(type volatile* at, type value, int) { return __atomic_fetch_xor(at, value, __ATOMIC_SEQ_CST); } \
  int __tsan_atomic##bits##_compare_exchange_strong(type volatile* at, type* old, type value, int, int) {                              \
    return __atomic_compare_exchange_n(at, old, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                                     \
  }                                                                                                                                    \
  int __tsan_atomic##bits##_compare_exchange_weak(type volatile* at, type* old, type value, int, int) {                                \
    return __atomic_compare_exchange_n(at, old, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                                     \
  }
PIKV_ATOMIC(8, unsigned char)
PIKV_ATOMIC(16, unsigned short)
PIKV_ATOMIC(32, unsigned)
PIKV_ATOMIC(64, unsigned long)
#undef PIKV_ATOMIC
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) {}
}
