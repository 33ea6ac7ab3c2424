#include "allocations.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<std::size_t> calls = 0;
}

void* operator new(std::size_t bytes) {
  ++calls;
  if (void* const memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc{};
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace pikv::runtime::test {

std::size_t allocations() { return calls; }

}  // namespace pikv::runtime::test
