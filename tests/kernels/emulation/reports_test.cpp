#include <gmock/gmock.h>

#include <dynamic_shared.cuh>
#include <cmath>
#include <stdexcept>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/memory.hpp"

// Kernels with one fault each, and the sentence that the emulation says of it, whatever the order of threads and blocks.
namespace pikv::kernels {
namespace {

using cuda::DeviceArray;
using cuda::dynamic_shared;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr unsigned all_lanes = 0xFFFFFFFFu;

class Emulation : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { emulation::set_seed(static_cast<std::uint64_t>(GetParam())); }
  void TearDown() override { emulation::set_seed(1); }

  struct Shape {
    unsigned blocks = 1, threads = 64;
    std::size_t shared_bytes = 0;
  };

  /// What a launch of the kernel says; nothing if it ends well.
  template <class... Parameters, class... Arguments>
  std::string said(Shape shape, void (*kernel)(Parameters...), Arguments... arguments) {
    try {
      cuda::launch(kernel, shape.blocks, shape.threads, shape.shared_bytes, nullptr, "the kernel", arguments...);
    } catch (std::runtime_error const& error) {
      return error.what();
    }
    return {};
  }
  DeviceArray<float> written(std::size_t size) { return {std::vector<float>(size, 1.0f), stream}; }
  std::vector<float> values(DeviceArray<float> const& array) {
    std::vector<float> host(array.size());
    array.copy_out(host);
    return host;
  }

  cuda::CudaStream stream{nullptr};
};

// ---- What is in order ----

__global__ void reverse_in_shared(float* x) {
  __shared__ float kept[64];
  kept[threadIdx.x] = x[blockIdx.x * 64 + threadIdx.x];
  __syncthreads();
  x[blockIdx.x * 64 + threadIdx.x] = kept[63 - threadIdx.x];
}

template <class T>
__global__ void rotate_lanes(T* x) {   // by a shuffle, by shared memory within a warp, and back
  auto* const kept = dynamic_shared<T>();
  unsigned const lane = threadIdx.x % 32, warp_first = threadIdx.x - lane;
  kept[threadIdx.x] = __shfl_sync(all_lanes, x[threadIdx.x], static_cast<int>((lane + 1) % 32));
  __syncwarp();
  x[threadIdx.x] = kept[warp_first + (lane + 31) % 32];
}

__global__ void count_in_order(int* total, unsigned* votes) {
  __shared__ int of_block;
  if (threadIdx.x == 0) of_block = 0;
  __syncthreads();
  atomicAdd(&of_block, 1);
  __syncthreads();
  if (threadIdx.x == 0) atomicAdd(total, of_block);
  unsigned const odd = __ballot_sync(all_lanes, threadIdx.x % 2 != 0);
  if (blockIdx.x == 0 && threadIdx.x == 0) *votes = odd;
}

__global__ void reduce_lanes(int* out) {
  int const x = static_cast<int>(threadIdx.x) - 16;
  int const sum = __reduce_add_sync(all_lanes, x), least = __reduce_min_sync(all_lanes, x), most = __reduce_max_sync(all_lanes, x);
  int const above = __shfl_down_sync(all_lanes, x, 1, 8), below = __shfl_up_sync(all_lanes, x, 1, 8), across = __shfl_xor_sync(all_lanes, x, 5);
  int const any = __any_sync(all_lanes, x == 3), all = __all_sync(all_lanes, x < 15), count = __syncthreads_count(x > 0);
  int const got[] = {sum, least, most, above, below, across, any, all, count};
  for (int i = 0; i < 9; ++i) out[threadIdx.x * 9 + i] = got[i];
}

TEST_P(Emulation, RunsWhatIsInOrder) {
  std::vector<float> host(192), reversed(192);
  for (std::size_t i = 0; i < host.size(); ++i) host[i] = static_cast<float>(i), reversed[i / 64 * 64 + 63 - i % 64] = host[i];
  DeviceArray<float> const x{host, stream};
  EXPECT_THAT(said({3}, reverse_in_shared, x.data()), IsEmpty());
  EXPECT_EQ(values(x), reversed);
  EXPECT_THAT(said({1, 64, 64 * sizeof(float)}, rotate_lanes<float>, x.data()), IsEmpty());
  EXPECT_EQ(values(x), reversed) << "rotated and rotated back";

  DeviceArray<int> const total{std::vector<int>{0}, stream};
  DeviceArray<unsigned> const votes{std::vector<unsigned>{0}, stream};
  EXPECT_THAT(said({5, 96}, count_in_order, total.data(), votes.data()), IsEmpty());
  int of_all = 0;
  unsigned odd = 0;
  total.copy_out({&of_all, 1});
  votes.copy_out({&odd, 1});
  EXPECT_EQ(of_all, 5 * 96);
  EXPECT_EQ(odd, 0xAAAAAAAAu);

  DeviceArray<int> const out{32 * 9, stream};
  EXPECT_THAT(said({1, 32}, reduce_lanes, out.data()), IsEmpty());
  std::vector<int> got(32 * 9);
  out.copy_out(got);
  for (int lane = 0; lane < 32; ++lane) {
    int const x_here = lane - 16;
    std::vector<int> const wanted{-16, -16, 15, lane % 8 == 7 ? x_here : x_here + 1, lane % 8 == 0 ? x_here : x_here - 1, (lane ^ 5) - 16, 1, 0, 15};
    EXPECT_EQ(std::vector<int>(got.begin() + lane * 9, got.begin() + lane * 9 + 9), wanted) << "lane " << lane;
  }
}

// ---- Memory ----

__global__ void write_at(float* x, int at) {
  if (threadIdx.x == 5) x[at] = 1;
}
__global__ void read_at(float const* x, float* out) {
  if (threadIdx.x == 0) *out = *x;
}
__global__ void read_dynamic(float* out, int at) {
  auto* const shared = dynamic_shared<float>();
  shared[threadIdx.x] = 1;
  __syncthreads();
  if (threadIdx.x == 3) *out = shared[at];
}
__global__ void add_at(float* x) { atomicAdd(x, 1.0f); }

TEST_P(Emulation, ReportsAnAccessOutsideAnAllocation) {
  auto const x = written(16);
  EXPECT_THAT(said({}, write_at, x.data(), 15), IsEmpty());
  EXPECT_THAT(said({}, write_at, x.data(), 16), AllOf(HasSubstr("the kernel failed: block (0,0,0), thread (5,0,0) writes 4 bytes"),
                                                      HasSubstr("0 bytes after the end of an allocation of 64 bytes")));
  EXPECT_THAT(said({}, write_at, x.data(), -1), HasSubstr("writes 4 bytes"));
  EXPECT_THAT(said({}, read_at, x.data() + 17, x.data()), HasSubstr("reads 4 bytes 4 bytes after the end of an allocation of 64 bytes"));
  EXPECT_THAT(said({}, add_at, x.data() + 16), HasSubstr("changes atomically 4 bytes 0 bytes after the end"));
  EXPECT_THAT(said({1, 64, 64 * sizeof(float)}, read_dynamic, x.data(), 64),
              HasSubstr("reads 4 bytes at byte 256 of the dynamic shared memory, of which the launch asked for 256 bytes"));
}

TEST_P(Emulation, ReportsAnAccessToFreedAndToHostMemory) {
  auto const out = written(1);
  float const* freed = nullptr;
  {
    auto const x = written(8);
    freed = x.data();
  }
  float host = 1;
  EXPECT_THAT(said({}, read_at, freed, out.data()), HasSubstr("reads 4 bytes"));
  EXPECT_THAT(said({}, read_at, &host, out.data()), HasSubstr("reads 4 bytes of host memory"));
  EXPECT_THAT(said({}, write_at, &host, 0), HasSubstr("writes 4 bytes of host memory"));
}

TEST_P(Emulation, ReportsAMisalignedAccess) {
  auto const x = written(4);
  auto* const odd = reinterpret_cast<float*>(reinterpret_cast<std::byte*>(x.data()) + 2);
  EXPECT_THAT(said({}, write_at, odd, 0), HasSubstr("no multiple of 4"));
}

__global__ void read_unwritten_shared(float* out) {
  __shared__ float some[64];
  if (threadIdx.x != 7) some[threadIdx.x] = 1;
  __syncthreads();
  if (threadIdx.x < 32) out[threadIdx.x] = some[threadIdx.x];
}
__global__ void leave_for_next_block(float* out) {   // shared memory does not outlive its block
  __shared__ float kept;
  if (blockIdx.x == 0) kept = 1;
  if (blockIdx.x != 0) out[blockIdx.x] = kept;
}

TEST_P(Emulation, ReportsAReadOfWhatNothingHasWritten) {
  auto const out = written(64);
  EXPECT_THAT(said({}, read_unwritten_shared, out.data()),
              HasSubstr("thread (7,0,0) reads 4 bytes in static shared memory, which nothing has written"));
  EXPECT_THAT(said({2, 1}, leave_for_next_block, out.data()),
              HasSubstr("block (1,0,0), thread (0,0,0) reads 4 bytes in static shared memory, which nothing"));
  DeviceArray<float> const unwritten{4, stream};
  EXPECT_THAT(said({}, read_at, unwritten.data() + 1, out.data()),
              HasSubstr("reads 4 bytes at byte 4 of an allocation of 16 bytes, which nothing has written"));
  EXPECT_THAT(said({1, 1, 8}, read_dynamic, out.data(), 1), IsEmpty()) << "thread 3 is not there";
  EXPECT_THAT(said({1, 8, 64}, read_dynamic, out.data(), 9), HasSubstr("at byte 36 of the dynamic shared memory, which nothing has written"));
}

// ---- Races ----

__global__ void reverse_without_barrier(float* out) {
  auto* const kept = dynamic_shared<float>();
  kept[threadIdx.x] = 1;
  kept[threadIdx.x + blockDim.x] = 1;
  __syncthreads();
  kept[threadIdx.x] = static_cast<float>(threadIdx.x);
  out[threadIdx.x] = kept[blockDim.x - 1 - threadIdx.x];
}
__global__ void write_same(float* out) { *out = 1; }
__global__ void read_a_neighbours(float* out) {
  auto* const kept = dynamic_shared<float>();
  kept[threadIdx.x] = 1;
  __syncwarp();
  out[threadIdx.x] = kept[threadIdx.x ^ 32];
}
__global__ void read_within_half_warps(float* out, unsigned other) {
  auto* const kept = dynamic_shared<float>();
  kept[threadIdx.x] = 1;
  __syncwarp(threadIdx.x < 16 ? 0xFFFFu : 0xFFFF0000u);
  out[threadIdx.x] = kept[threadIdx.x ^ other];
}
/// Each round another lane changes a number; without the barrier the last one does so while others still read it.
__global__ void add_in_turn(float* out, int barriers) {
  auto* const kept = dynamic_shared<float>();
  kept[threadIdx.x] = 1;
  __syncwarp();
  for (int round = 0; round < 4; ++round) {
    if (threadIdx.x < 8) kept[(threadIdx.x + round) % 8] += 1;
    if (round < barriers) __syncwarp();
  }
  out[threadIdx.x] = kept[threadIdx.x];
}
__global__ void overwrite_what_others_read(float* out) {
  auto* const kept = dynamic_shared<float>();
  if (threadIdx.x == 0) kept[0] = 1;
  __syncthreads();
  out[threadIdx.x] = kept[0];
  if (threadIdx.x == 0) kept[0] = 2;
}
__global__ void add_and_read(float* x, float* out) {
  atomicAdd(x, 1.0f);
  if (threadIdx.x == 1) *out = *x;
}

TEST_P(Emulation, ReportsARaceOnSharedMemory) {
  auto const out = written(64);
  EXPECT_THAT(said({1, 64, 512}, reverse_without_barrier, out.data()),
              AllOf(HasSubstr("of the dynamic shared memory, a race: thread"), HasSubstr("no barrier stands between")));
  EXPECT_THAT(said({1, 64, 256}, overwrite_what_others_read, out.data()), HasSubstr("a race:"));
}

TEST_P(Emulation, OrdersTheLanesOfAMaskAndNoOthersBySyncwarp) {
  auto const out = written(64);
  EXPECT_THAT(said({1, 32, 128}, read_within_half_warps, out.data(), 15u), IsEmpty());
  EXPECT_THAT(said({1, 32, 128}, read_within_half_warps, out.data(), 16u), ::testing::AnyOf(HasSubstr("a race:"), HasSubstr("nothing has written")));
  EXPECT_THAT(said({1, 64, 256}, read_a_neighbours, out.data()), ::testing::AnyOf(HasSubstr("a race:"), HasSubstr("nothing has written")));
  EXPECT_THAT(said({1, 32, 128}, add_in_turn, out.data(), 4), IsEmpty());
  for (int barriers = 0; barriers < 4; ++barriers) EXPECT_THAT(said({1, 32, 128}, add_in_turn, out.data(), barriers), HasSubstr("a race:")) << barriers;
}

TEST_P(Emulation, ReportsARaceOnGlobalMemory) {
  auto const x = written(64), out = written(64);
  EXPECT_THAT(said({1, 2}, write_same, x.data()), HasSubstr("writes 4 bytes at byte 0 of an allocation of 256 bytes, a race: thread"));
  EXPECT_THAT(said({2, 1}, write_same, x.data()), HasSubstr("a race: another block wrote there, and nothing orders the blocks of a launch"));
  EXPECT_THAT(said({2, 1}, write_same, x.data()), HasSubstr("a race")) << "and a launch that failed leaves nothing behind";
  EXPECT_THAT(said({1, 1}, write_same, x.data()), IsEmpty());
  EXPECT_THAT(said({2, 32}, add_at, x.data()), IsEmpty());
  EXPECT_THAT(said({1, 64}, add_and_read, x.data(), out.data()), HasSubstr("a race"));
}

// ---- Barriers and warp functions ----

__global__ void leave_before_barrier() {
  if (threadIdx.x == 40) return;
  __syncthreads();
}
__global__ void two_barriers() {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
}
__global__ void barrier_of_some() {
  if (threadIdx.x < 32) __syncthreads();
}

TEST_P(Emulation, ReportsABarrierThatNotAllThreadsReach) {
  EXPECT_THAT(said({}, leave_before_barrier),
              AllOf(HasSubstr("a barrier that not all threads reach (reports_test.cpp:"), HasSubstr("thread (40,0,0) has left the kernel")));
  EXPECT_THAT(said({}, barrier_of_some), HasSubstr("a barrier that not all threads reach (reports_test.cpp:"));
  EXPECT_THAT(said({}, two_barriers),
              AllOf(HasSubstr("a barrier that not all threads reach: thread (0,0,0) waits at reports_test.cpp:"), HasSubstr("thread (32,0,0) at ")));
}

__global__ void shuffle_with(unsigned mask, int lanes, int from) {
  if (static_cast<int>(threadIdx.x) < lanes) __shfl_sync(mask, 1.0f, from);
}
__global__ void shuffle_beside_barrier() {
  if (threadIdx.x == 9)
    __syncthreads();
  else
    __shfl_xor_sync(all_lanes, 1, 1);
}
__global__ void two_masks() { __shfl_xor_sync(threadIdx.x < 16 ? all_lanes : 0xFFFF8000u, 1, 1); }

TEST_P(Emulation, ReportsAWarpFunctionThatNotAllLanesOfItsMaskReach) {
  EXPECT_THAT(said({1, 32}, shuffle_with, all_lanes, 32, 0), IsEmpty());
  EXPECT_THAT(said({1, 32}, shuffle_with, all_lanes, 31, 0),
              AllOf(HasSubstr("waits in a warp function at reports_test.cpp:"), HasSubstr("of which lane 31 has left the kernel")));
  EXPECT_THAT(said({1, 20}, shuffle_with, all_lanes, 20, 0), HasSubstr("of which lane 20 is not in the block"));
  EXPECT_THAT(said({1, 32}, shuffle_beside_barrier), HasSubstr("of which lane 9 waits at the barrier of reports_test.cpp:"));
  EXPECT_THAT(said({1, 32}, two_masks), HasSubstr("of which lane 16 waits in another warp function or with another mask (0xffff8000"));
}

TEST_P(Emulation, ReportsAMaskWithoutTheCallerAndALaneOutsideTheMask) {
  EXPECT_THAT(said({1, 32}, shuffle_with, 0xFFFF0000u, 16, 20), HasSubstr("with mask 0xffff0000, which leaves out its lane"));
  EXPECT_THAT(said({1, 32}, shuffle_with, 0xFFFFu, 16, 20), HasSubstr("reads lane 20 by a shuffle"));
  EXPECT_THAT(said({1, 32}, shuffle_with, 0xFFFFu, 16, 3), IsEmpty());
}

__global__ void stop() { __trap(); }

TEST_P(Emulation, ReportsATrapAndShapesThatNoGpuTakes) {
  EXPECT_THAT(said({}, stop), HasSubstr("stops by __trap"));
  EXPECT_THAT(said({1, 1025}, stop), HasSubstr("a block of 1025 threads"));
  EXPECT_THAT(said({0, 32}, stop), HasSubstr("a grid of 0 x 1 x 1 blocks"));
  EXPECT_THAT(said({1, 1, 300 * 1024}, stop), HasSubstr("bytes of dynamic shared memory"));
}

TEST_P(Emulation, RefusesCopiesThatReachOut) {
  auto x = written(4);
  std::vector<float> five(5);
  EXPECT_THROW(x.copy_out(five), std::runtime_error);
  EXPECT_THROW((DeviceArray<float>{std::size_t{1} << 40, stream}), std::runtime_error);
}

TEST_P(Emulation, CopiesToPinnedMemoryComeWithTheWaitAndThoseFromItMustNotChange) {
  void* pinned = nullptr;
  ASSERT_EQ(cudaHostAlloc(&pinned, 4 * sizeof(float), cudaHostAllocDefault), cudaSuccess);
  auto* const host = static_cast<float*>(pinned);
  auto x = written(4);
  ASSERT_EQ(cudaMemcpyAsync(host, x.data(), 4 * sizeof(float), cudaMemcpyDeviceToHost, nullptr), cudaSuccess);
  EXPECT_TRUE(std::isnan(host[3]));
  stream.synchronize();
  EXPECT_EQ(host[3], 1);
  for (float const change : {0.0f, 5.0f}) {
    ASSERT_EQ(cudaMemcpyAsync(x.data(), host, 4 * sizeof(float), cudaMemcpyHostToDevice, nullptr), cudaSuccess);
    host[2] += change;
    std::string said;
    try {
      stream.synchronize();
    } catch (std::runtime_error const& error) {
      said = error.what();
    }
    EXPECT_THAT(said, change == 0 ? ::testing::Matcher<std::string>{IsEmpty()} : HasSubstr("has changed since it was to be copied"));
  }
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
}

TEST(EmulationDeathTest, TheProcessorCannotTouchAFencedDevice) {
  cuda::CudaStream stream{nullptr};
  DeviceArray<float> const x{std::vector<float>(4, 1.0f), stream};
  EXPECT_DEATH(
      {
        emulation::fence_device_memory();
        std::vector<float> host(4);
        x.copy_out(host);
        *x.data() = host[0];
      },
      "");
}

INSTANTIATE_TEST_SUITE_P(Seeds, Emulation, ::testing::Range(0, 5));

}  // namespace
}  // namespace pikv::kernels
