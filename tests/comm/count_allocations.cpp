#include <cstdlib>
#include <new>

#include "conformance.hpp"

namespace {
thread_local std::uint64_t allocations_of_thread = 0;
}

namespace pikv::comm::test {
std::uint64_t allocations() { return allocations_of_thread; }
}  // namespace pikv::comm::test

void* operator new(std::size_t bytes, std::nothrow_t const&) noexcept {
  ++allocations_of_thread;
  return std::malloc(bytes == 0 ? 1 : bytes);
}
void* operator new(std::size_t bytes) {
  if (void* const at = operator new(bytes, std::nothrow)) return at;
  throw std::bad_alloc{};
}
void operator delete(void* at) noexcept { std::free(at); }
void operator delete(void* at, std::size_t) noexcept { std::free(at); }
void operator delete(void* at, std::nothrow_t const&) noexcept { std::free(at); }
