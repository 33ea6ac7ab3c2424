#include "conformance.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <random>
#include <set>
#include <string>

namespace pikv::comm::test {
namespace {
thread_local std::uint64_t allocations_of_thread = 0;
}

std::uint64_t allocations() { return allocations_of_thread; }

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (auto const part : {world_cases(), exchange_cases(), transport_cases()}) cases.insert(cases.end(), part.begin(), part.end());
  return cases;
}

std::vector<Case> cases_that_allow_faults() {
  std::set<std::string> const strict{"ARoundAllocatesNothing", "TransfersAllocateNothing", "TransfersCountByLocality",
                                     "TestIsTrueWhenFinishWouldNotWait"};
  auto cases = all_cases();
  std::erase_if(cases, [&](Case const& test) { return strict.contains(test.name); });
  return cases;
}

std::vector<std::byte> pattern(std::size_t bytes, int from, int to, int round) {
  constexpr std::size_t longest = 1 << 19, starts = 1 << 19;
  static std::vector<std::byte> const noise = [] {
    std::vector<std::byte> made(longest + starts);
    std::mt19937 random;
    std::ranges::generate(made, [&] { return static_cast<std::byte>(random() >> 24); });
    return made;
  }();
  auto const start = (static_cast<unsigned>((round * 64 + from) * 64 + to) * 2654435761u) % starts;
  auto const part = std::span{noise}.subspan(start, bytes);
  return {part.begin(), part.end()};
}

}  // namespace pikv::comm::test

void* operator new(std::size_t bytes) {
  ++pikv::comm::test::allocations_of_thread;
  if (void* const at = std::malloc(bytes == 0 ? 1 : bytes)) return at;
  throw std::bad_alloc{};
}
void operator delete(void* at) noexcept { std::free(at); }
void operator delete(void* at, std::size_t) noexcept { std::free(at); }
