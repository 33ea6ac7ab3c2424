// Copies of a GPU's Device: when they are made, and who waits.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "kernels/buffer.hpp"
#include "kernels/cuda/device.hpp"
#include "kernels/emulation/emulation.hpp"

namespace pikv::kernels {
namespace {

struct DeviceCopies : ::testing::Test {
  void TearDown() override { emulation::limit_pinned_memory(std::numeric_limits<std::size_t>::max()); }

  std::vector<float> values(float const* at, std::size_t size) {
    std::vector<float> host(size);
    copy_out<float>(*device, host, at);
    return host;
  }
  static std::vector<float> counting(std::size_t size, float from) {
    std::vector<float> host(size);
    std::iota(host.begin(), host.end(), from);
    return host;
  }

  std::unique_ptr<Device> const device = cuda::make_device();
};

TEST_F(DeviceCopies, ASmallCopyInWaitsForNothingAndLeavesItsSource) {
  Buffer<float> there{*device};
  auto host = counting(1000, 1);
  copy_in<float>(*device, there.resize(1000), host);
  host.assign(1000, 0);
  EXPECT_EQ(device->waits(), 0u);
  EXPECT_EQ(values(there.data(), 1000), counting(1000, 1));
  EXPECT_EQ(device->waits(), 1u);
}

TEST_F(DeviceCopies, ManyAndLargeOnesWaitForRoom) {
  constexpr std::size_t size = 30000, large = 500000;
  std::vector<Buffer<float>> there;
  for (int i = 0; i < 60; ++i) copy_in<float>(*device, there.emplace_back(*device).resize(size), counting(size, static_cast<float>(i)));
  EXPECT_GT(device->waits(), 0u);
  EXPECT_LT(device->waits(), 10u);
  copy_in<float>(*device, there.emplace_back(*device).resize(large), counting(large, 7));
  for (int i = 0; i < 60; ++i) EXPECT_EQ(values(there[static_cast<std::size_t>(i)].data(), size), counting(size, static_cast<float>(i)));
  EXPECT_EQ(values(there.back().data(), large), counting(large, 7));
}

TEST_F(DeviceCopies, WhatIsFetchedIsThereAfterTheWait) {
  Buffer<float> there{*device};
  copy_in<float>(*device, there.resize(10), counting(10, 3));
  OnHost<float> first{*device}, second{*device};
  float const *const a = first.fetch(there.data(), 5), *const b = second(there.data() + 5, 5);
  EXPECT_EQ(device->waits(), 1u);
  EXPECT_EQ(std::vector(a, a + 5), counting(5, 3));
  EXPECT_EQ(std::vector(b, b + 5), counting(5, 8));
}

TEST_F(DeviceCopies, FilledMemoryIsNotWrittenWhileItIsSent) {
  Filled<float> filled{*device};
  std::ranges::copy(counting(10, 1), filled.resize(10));
  filled.send();
  EXPECT_EQ(device->waits(), 0u);
  std::ranges::copy(counting(10, 5), filled.resize(10));   // while the first may be under way
  EXPECT_EQ(device->waits(), 1u);
  filled.send();
  EXPECT_EQ(values(filled.data(), 10), counting(10, 5));
  EXPECT_EQ(device->waits(), 2u);
  filled.resize(10);
  EXPECT_EQ(device->waits(), 2u);
}

TEST_F(DeviceCopies, MemoryThatCannotBePinnedWillDo) {
  emulation::limit_pinned_memory(64);
  Filled<float> filled{*device};
  std::ranges::copy(counting(1000, 1), filled.resize(1000));
  EXPECT_EQ(values(filled.send(), 1000), counting(1000, 1));
  OnHost<float> on_host{*device};
  float const* const here = on_host(filled.data(), 1000);
  EXPECT_EQ(std::vector(here, here + 1000), counting(1000, 1));
  EXPECT_GE(device->unpinned_bytes(), 2 * 1000 * sizeof(float));
}

TEST_F(DeviceCopies, WhatCouldNotBePinnedIsCountedAtItsMost) {
  emulation::limit_pinned_memory(64);
  std::byte* const kept = device->allocate_host(1000);
  for (int again = 0; again < 3; ++again) device->free_host(device->allocate_host(2000));
  device->free_host(kept);
  EXPECT_EQ(device->unpinned_bytes(), 3000u);
}

TEST_F(DeviceCopies, AFormOfCodedPagesThatAnotherDeviceMadeIsRefused) {
  auto const form = host_device().form(CodedLayout{});
  EXPECT_THROW(device->decode(*form, nullptr, {}, 0), std::logic_error);
}

}  // namespace
}  // namespace pikv::kernels
