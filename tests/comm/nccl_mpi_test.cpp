#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "comm/device_memory.hpp"
#include "comm/gpus.hpp"
#include "comm/nccl.hpp"
#include "comm/nccl_put_world.hpp"
#include "comm/nccl_world.hpp"
#include "comm/transports.hpp"
#include "comm/ucx.hpp"
#include "conformance.hpp"
#include "mpi_test_main.hpp"

namespace pikv::comm::test {
namespace {

std::string const& why_not() {
  static std::string const why = why_not_nccl(mpi_world(), take_gpus(mpi_world(), soon(mpi_world())), nccl_built_in());
  return why;
}

/// What nccl_test.cpp shows with a stand-in, over NCCL itself.
struct NcclItself : ::testing::Test {
  void SetUp() override {
    if (!why_not().empty()) GTEST_SKIP() << "needs NCCL and a GPU for each of at least two ranks: " << why_not();
  }
  void TearDown() override { mpi_world().barrier(soon(mpi_world())); }
};
class NcclConformance : public NcclItself, public ::testing::WithParamInterface<Case> {};

TEST_P(NcclConformance, Holds) { GetParam().body(*make_nccl_world(mpi_world())); }
INSTANTIATE_TEST_SUITE_P(All, NcclConformance, ::testing::ValuesIn(exchange_cases()), [](auto const& instance) { return std::string{instance.param.name}; });

/// What nccl_put_test.cpp shows with a stand-in: pages go from GPU to GPU where these reach one another, the rest over UCX.
class NcclPutConformance : public NcclItself, public ::testing::WithParamInterface<Case> {
 protected:
  void SetUp() override {
    NcclItself::SetUp();
    if (IsSkipped()) return;
    if (std::string const why = why_no_nccl_windows(); !why.empty()) GTEST_SKIP() << "needs windows of NCCL: " << why;
    if (!ucx_built_in()) GTEST_SKIP() << "needs UCX, which this build is without";
  }
  static bool shares_its_host(World const& world) {
    for (Rank rank = 0; rank < world.size(); ++rank)
      if (rank != world.rank() && world.host(rank) == world.host(world.rank())) return true;
    return false;
  }
};

TEST_P(NcclPutConformance, Holds) {
  auto const below = transports().at("ucx").make({.progress = {}, .device = &nccl_memory()});
  auto const world = make_nccl_put_world(*below);
  device_under_test() = &nccl_memory();
  GetParam().body(*world);
  device_under_test() = nullptr;
  std::string const path = world->data_path();
  RecordProperty("path", path);
  bool const over = path.find("puts into GPU memory over NCCL") != std::string::npos && path.find(" to 0 of ") == std::string::npos;
  if (!over && !shares_its_host(*world)) GTEST_SKIP() << "nothing was put over NCCL: " << path;
  EXPECT_TRUE(over) << path;
}
INSTANTIATE_TEST_SUITE_P(All, NcclPutConformance, ::testing::ValuesIn([] {
                           auto cases = cases_in_device_memory();
                           std::erase_if(cases, [](Case const& test) { return test.name == std::string{"PartsMayDifferInSize"}; });   // and go without
                           return cases;
                         }()),
                         [](auto const& instance) { return std::string{instance.param.name}; });

/// A rank and its GPU.
struct NcclAlone : ::testing::Test {
  void SetUp() override {
    (void)why_not();   // each has taken its GPU
    if (!nccl_built_in()) GTEST_SKIP() << "needs NCCL, which this build is without";
    if (!gpu_memory().why_absent().empty()) GTEST_SKIP() << "needs a GPU: " << gpu_memory().why_absent();
  }
  void settle(NcclDevice& device) {
    ASSERT_EQ(mpi_world().wait([&] { return device.settled(); }, soon(mpi_world())), Status::arrived);
  }
  void pass(NcclDevice& device) {
    device.mark();
    ASSERT_EQ(mpi_world().wait([&] { return device.passed(); }, soon(mpi_world())), Status::arrived);
  }
};

TEST_F(NcclAlone, ARankCopiesIntoAWindowOfItsOwn) {
  if (std::string const why = why_no_nccl_windows(); !why.empty()) GTEST_SKIP() << "needs windows of NCCL: " << why;
  auto const device = make_nccl_device();
  constexpr std::size_t bytes = 100'000;
  PinnedBuffer const host{device->memory(), bytes};
  auto const sent = pattern(bytes, 0, 0, 1);
  std::ranges::copy(sent, host.bytes().begin());
  std::byte* const staged = device->memory().allocate(bytes);
  std::byte* const memory = nccl_memory().allocate(bytes);
  device->open(device->make_id(), 1, 0);
  settle(*device);
  device->open_window({memory, bytes});
  settle(*device);
  NcclWindow const window = device->opened();
  ASSERT_EQ(window.reach.size(), 1u);
  ASSERT_NE(window.reach[0], nullptr);
  device->copy_in(staged, host.bytes());
  device->copy_across(window.reach[0], staged, bytes);
  pass(*device);
  std::vector<std::byte> came(bytes);
  nccl_memory().copy_out(came, memory);
  EXPECT_EQ(came, sent);
  device->close_window(window);
  device->finalize();
  settle(*device);
  device->close();
  nccl_memory().free(memory);
  device->memory().free(staged);
}

TEST_F(NcclAlone, ARankSendsToItselfOnItsGpu) {
  auto const device = make_nccl_device();
  constexpr std::size_t bytes = 100'000;
  PinnedBuffer const host{device->memory(), 2 * bytes};
  auto const sent = host.bytes().first(bytes), came = host.bytes().last(bytes);
  std::ranges::copy(pattern(bytes, 0, 0, 1), sent.begin());
  std::byte* const memory = device->memory().allocate(2 * bytes);
  device->open(device->make_id(), 1, 0);
  settle(*device);
  device->copy_in(memory, sent);
  NcclTransfer const out{0, memory, bytes}, in{0, memory + bytes, bytes};
  device->transfer(std::span{&out, 1}, std::span{&in, 1});
  settle(*device);
  device->copy_out(came, memory + bytes);
  pass(*device);
  EXPECT_TRUE(std::ranges::equal(came, sent));
  device->finalize();
  settle(*device);
  device->close();
  device->memory().free(memory);
}

TEST_F(NcclItself, ExchangesGoOnAfterOthersHaveEnded) {
  auto const world = make_nccl_world(mpi_world());
  Rank const next = (world->rank() + 1) % world->size(), previous = (world->rank() + world->size() - 1) % world->size();
  for (int again = 0; again < 2; ++again) {
    auto const exchange = world->make_exchange({"again", 1, 100'000});
    for (int round = 0; round < 50; ++round) {
      auto const message = pattern(100'000, world->rank(), next, round);
      std::ranges::copy(message, exchange->outgoing(next).append(message.size()).begin());
      exchange->start();
      ASSERT_EQ(exchange->finish(soon(*world)), Status::arrived);
      EXPECT_TRUE(std::ranges::equal(exchange->incoming(previous), pattern(100'000, previous, world->rank(), round)));
    }
  }
}

}  // namespace
}  // namespace pikv::comm::test
