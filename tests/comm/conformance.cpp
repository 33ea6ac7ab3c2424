#include "conformance.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

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

std::vector<std::byte> pattern(std::size_t bytes, int from, int to, int round) {
  std::uint64_t state = static_cast<std::uint64_t>((round * 64 + from) * 64 + to) + 1;
  std::vector<std::byte> made(bytes);
  for (std::size_t i = 0; i < bytes; i += sizeof state) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    std::uint64_t const word = state ^ (state >> 32);
    std::memcpy(made.data() + i, &word, std::min(sizeof word, bytes - i));
  }
  return made;
}

}  // namespace pikv::comm::test

void* operator new(std::size_t bytes) {
  ++pikv::comm::test::allocations_of_thread;
  if (void* const at = std::malloc(bytes == 0 ? 1 : bytes)) return at;
  throw std::bad_alloc{};
}
void operator delete(void* at) noexcept { std::free(at); }
void operator delete(void* at, std::size_t) noexcept { std::free(at); }
