#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "attend_problem.hpp"
#include "kernels/linear.hpp"

namespace {
std::atomic<int> allocations = 0;
}

// Not inlined: GCC would see malloc meet delete.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc{};
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace pikv::kernels {
namespace {

template <class Call>
int allocations_when_warm(Call const& call) {
  call();
  int const before = allocations;
  call();
  return allocations - before;
}

TEST(Allocation, AttendNeedsNoneOnceWarm) {
  auto p = make_problem({DType::bf16, 2, 32, 64}, 4, {{1, std::vector<std::int32_t>(100, 32)}, {64, {32, 32}, 0}});
  Partial out{65, 4, 64};
  std::vector<float> lse(p.lse_count());
  Stream stream;
  EXPECT_EQ(allocations_when_warm([&] { host::attend(p.pool(), p.plan(), p.q.data(), 4, p.scale, out.view(), lse.data(), stream); }), 0);
}

TEST(Allocation, LinearNeedsNoneOnceWarm) {
  auto const weights = random_stored(DType::bf16, 512 * 512, 1);
  auto const x = random_floats(8 * 512, 2);
  std::vector<float> y(8 * 512);
  Stream stream;
  EXPECT_EQ(allocations_when_warm([&] { host::linear(x.data(), {weights.data(), DType::bf16, 512, 512}, y.data(), 8, stream); }), 0);
}

}  // namespace
}  // namespace pikv::kernels
