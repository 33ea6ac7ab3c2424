#pragma once

#include <cstdint>
#include <ostream>
#include <span>
#include <vector>

#include "comm/device_memory.hpp"
#include "comm/world.hpp"

namespace pikv::comm {
inline void PrintTo(Status status, std::ostream* out) { *out << to_string(status); }   // for gtest
}  // namespace pikv::comm

namespace pikv::comm::test {

/// What every world must do, as a function that all its ranks run together. Each holds for any number of ranks.
struct Case {
  char const* name;
  void (*body)(World&);
};
std::span<Case const> world_cases();
std::span<Case const> exchange_cases();
std::span<Case const> transport_cases();
/// Null: the transport cases move bytes between regions in host memory; else in this device's, that of the world they run in.
DeviceMemory*& device_under_test();
/// The transport cases that device memory is for.
std::vector<Case> cases_in_device_memory();

std::vector<Case> all_cases();
/// Those that neither count what moved or was allocated nor ask whether a wait would return at once.
std::vector<Case> cases_that_allow_faults();

/// Bytes that depend on every argument, so that no message or part can be taken for another.
std::vector<std::byte> pattern(std::size_t bytes, int from, int to, int round);

inline Deadline soon(World const& world) { return world.in(20); }

/// Calls to operator new of this thread so far.
std::uint64_t allocations();

}  // namespace pikv::comm::test
