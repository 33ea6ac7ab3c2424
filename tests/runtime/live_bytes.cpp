#include "live_bytes.hpp"

#include <cstdlib>
#include <new>

namespace {
std::ptrdiff_t live = 0;
}

void* operator new(std::size_t bytes) {
  live += static_cast<std::ptrdiff_t>(bytes);
  if (void* const memory = std::malloc(bytes > 0 ? bytes : 1)) return memory;
  throw std::bad_alloc{};
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t bytes) noexcept {
  live -= static_cast<std::ptrdiff_t>(bytes);
  std::free(memory);
}

namespace pikv::test {
std::ptrdiff_t live_bytes() { return live; }
}  // namespace pikv::test
