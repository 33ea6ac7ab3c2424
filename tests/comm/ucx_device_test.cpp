#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "comm/error.hpp"
#include "comm/transports.hpp"
#include "conformance.hpp"
#include "fenced_memory.hpp"
#include "mpi_test_main.hpp"

namespace pikv::comm::test {
namespace {

using std::chrono::milliseconds;

std::unique_ptr<World> ucx_world(DeviceMemory& device, ProgressThread const& progress = {}) {
  return transports().at("ucx").make({.progress = progress, .device = &device});
}

void holds_on(DeviceMemory& device, Case const& test) {
  device_under_test() = &device;
  test.body(*ucx_world(device));
  device_under_test() = nullptr;
}

class UcxDeviceConformance : public ::testing::TestWithParam<Case> {
 protected:
  void TearDown() override { mpi_world().barrier(soon(mpi_world())); }
};
TEST_P(UcxDeviceConformance, HoldsWhereBytesAreStaged) {
  FencedMemory device;
  holds_on(device, GetParam());
  EXPECT_EQ(device.in_use(), 0u);
}
TEST_P(UcxDeviceConformance, HoldsOnThisGpu) {
  if (!gpu_memory().why_absent().empty()) GTEST_SKIP() << "needs a GPU: " << gpu_memory().why_absent();
  holds_on(gpu_memory(), GetParam());
}
INSTANTIATE_TEST_SUITE_P(All, UcxDeviceConformance, ::testing::ValuesIn(cases_in_device_memory()),
                         [](auto const& instance) { return std::string{instance.param.name}; });

struct UcxDevice : ::testing::Test {
  World& mpi = mpi_world();
  FencedMemory device;
  std::unique_ptr<World> world = ucx_world(device);
  Rank self = world->rank(), next = (self + 1) % world->size(), previous = (self + world->size() - 1) % world->size();
  void TearDown() override { mpi.barrier(soon(mpi)); }

  void finish(Transport& transport, Op op) { ASSERT_EQ(transport.wait(op, soon(*world)), Status::arrived); }
  std::vector<std::byte> bytes_of(Region const& region, std::size_t from, std::size_t count) {
    std::vector<std::byte> bytes(count);
    device.copy_out(bytes, region.data + from);
    return bytes;
  }
};

TEST_F(UcxDevice, TheWayOfItsBytesIsSaidOnceThereAreSome) {
  EXPECT_EQ(world->data_path().find("device memory"), std::string::npos) << world->data_path();
  auto const transport = world->make_transport();
  (void)transport->allocate(64, Space::device);
  EXPECT_TRUE(world->data_path().ends_with(", device memory staged through pinned host memory")) << world->data_path();
  EXPECT_EQ(device.pinned(), 1u);
}

TEST_F(UcxDevice, HostAndDeviceRegionsStandSideBySide) {
  auto const transport = world->make_transport();
  Region const payloads = transport->allocate(5000, Space::device), headers = transport->allocate(64, Space::host);
  auto const payload = pattern(5000, self, next, 1), header = pattern(64, self, next, 2);
  for (Op const op : {transport->put(next, payloads.at(0), payload), transport->put(next, headers.at(0), header), transport->flush(next)})
    finish(*transport, op);
  world->barrier(soon(*world));
  transport->poll();
  EXPECT_EQ(bytes_of(payloads, 0, 5000), pattern(5000, previous, self, 1));
  EXPECT_EQ((std::vector<std::byte>{headers.data, headers.data + 64}), pattern(64, previous, self, 2));
  world->barrier(soon(*world));
}

TEST_F(UcxDevice, AGetBetweenAPutAndItsFlushDoesNotUndoThePut) {
  auto const transport = world->make_transport();
  Region const region = transport->allocate(70'000, Space::device);
  auto const mine = pattern(70'000, self, next, 3);
  std::vector<std::byte> seen(70'000);
  finish(*transport, transport->put(next, region.at(0), mine));
  finish(*transport, transport->get(next, region.at(0), seen));
  finish(*transport, transport->flush(next));
  world->barrier(soon(*world));
  EXPECT_EQ(bytes_of(region, 0, 70'000), pattern(70'000, previous, self, 3));
  world->barrier(soon(*world));
}

TEST_F(UcxDevice, AFlushWaitsForThePutsOfAnEarlierOneUnderWay) {
  auto const transport = world->make_transport();
  std::size_t const bytes = 1 << 20;
  Region const region = transport->allocate(bytes, Space::device);
  for (int round = 0; round < 20; ++round) {
    auto const mine = pattern(bytes, self, next, round);
    Op const put = transport->put(next, region.at(0), mine);
    Op const first = transport->flush(next), second = transport->flush(next);
    finish(*transport, second);
    std::vector<std::byte> seen(bytes);
    finish(*transport, transport->get(next, region.at(0), seen));
    EXPECT_EQ(seen, mine);
    for (Op const op : {first, put}) finish(*transport, op);
  }
  world->barrier(soon(*world));
}

TEST_F(UcxDevice, AFlushedPutDoesNotComeBackOverWhatItsOwnerWroteSince) {
  auto const transport = world->make_transport();
  Region const region = transport->allocate(256, Space::device);
  finish(*transport, transport->put(next, region.at(0), pattern(128, self, next, 1)));
  finish(*transport, transport->flush(next));
  world->barrier(soon(*world));
  auto const own = pattern(128, self, self, 2);
  finish(*transport, transport->put(self, region.at(0), own));
  world->barrier(soon(*world));
  finish(*transport, transport->put(next, region.at(128), pattern(128, self, next, 3)));
  finish(*transport, transport->flush(next));
  world->barrier(soon(*world));
  EXPECT_EQ(bytes_of(region, 0, 128), own);
  EXPECT_EQ(bytes_of(region, 128, 128), pattern(128, previous, self, 3));
  world->barrier(soon(*world));
}

TEST_F(UcxDevice, ScatteredPutsAllArrive) {
  auto const transport = world->make_transport();
  Region const region = transport->allocate(300 * 200, Space::device);
  std::vector<std::vector<std::byte>> sent;
  std::vector<Op> ops;
  for (int i = 0; i < 300; ++i) {
    sent.push_back(pattern(100, self, next, i));
    ops.push_back(transport->put(next, region.at(200 * static_cast<std::uint64_t>(299 - i)), sent.back()));
  }
  ops.push_back(transport->flush(next));
  for (Op const op : ops) finish(*transport, op);
  world->barrier(soon(*world));
  for (int i = 0; i < 300; ++i)
    EXPECT_EQ(bytes_of(region, 200 * static_cast<std::size_t>(299 - i), 100), pattern(100, previous, self, i)) << i;
  world->barrier(soon(*world));
}

TEST_F(UcxDevice, AFlushAndAGetAreServedWhileTheOwnerComputes) {
  auto const transport = world->make_transport();
  Region const region = transport->allocate(100'000, Space::device);
  Rank const owner = world->size() - 1;
  world->barrier(soon(*world));
  auto const begin = std::chrono::steady_clock::now();
  if (self == owner) {
    std::this_thread::sleep_for(milliseconds{3000});
  } else if (self == 0) {
    std::vector<std::byte> seen(100'000);
    auto const mine = pattern(100'000, 0, owner, 7);
    for (Op const op : {transport->put(owner, region.at(0), mine), transport->flush(owner)}) finish(*transport, op);
    finish(*transport, transport->get(owner, region.at(0), seen));
    EXPECT_EQ(seen, mine);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds{2900}) << "the owner's thread did not serve it";
  }
  world->barrier(soon(*world));
}

TEST_F(UcxDevice, AnOwnerWhoDoesNotAnswerMakesAFlushTimeOutAndTheNextOneArrive) {
  world = nullptr;
  world = ucx_world(device, {.on = false});
  auto const transport = world->make_transport();
  Region const region = transport->allocate(1000, Space::device);
  Rank const owner = world->size() - 1;
  auto const mine = pattern(1000, 0, owner, 8);
  if (self == 0)
    for (Op const op : {transport->put(owner, region.at(0), mine), transport->flush(owner)}) finish(*transport, op);
  world->barrier(soon(*world));
  mpi.barrier(soon(mpi));   // UCX makes no progress in it
  if (self == owner) std::this_thread::sleep_for(milliseconds{1000});   // without progress
  if (self == 0) {
    Op const put = transport->put(owner, region.at(0), mine);
    EXPECT_EQ(transport->wait(transport->flush(owner), world->in(0.3)), Status::timeout);
    for (Op const op : {put, transport->flush(owner)}) finish(*transport, op);
  }
  world->barrier(soon(*world));
  if (self == owner) {
    EXPECT_EQ(bytes_of(region, 0, 1000), mine);
  }
  world->barrier(soon(*world));
}

TEST_F(UcxDevice, AtomicsBelongInHostMemory) {
  auto const transport = world->make_transport();
  Region const region = transport->allocate(64, Space::device);
  std::uint64_t before = 0;
  EXPECT_THROW((void)transport->fetch_add(next, region.at(0), 1, &before), std::logic_error);
  world->barrier(soon(*world));
}

TEST_F(UcxDevice, OneRankWithoutADeviceIsNamedOnAll) {
  FencedMemory none{"its GPU was sold; buy another"};
  world = nullptr;
  world = ucx_world(self == 1 ? none : device);
  auto const transport = world->make_transport();
  try {
    (void)transport->allocate(64, Space::device);
    ADD_FAILURE() << "rank 1 has none";
  } catch (InputError const& error) {
    EXPECT_EQ(std::string{error.what()},
              "rank 1 (" + world->host_name(1) + ") has no device memory: its GPU was sold; buy another, or allocate host memory");
  }
  EXPECT_EQ(device.in_use(), 0u);
}

}  // namespace
}  // namespace pikv::comm::test
