#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "comm/device_memory.hpp"
#include "comm/gpus.hpp"
#include "comm/nccl.hpp"
#include "comm/nccl_world.hpp"
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

TEST(NcclAlone, ARankSendsToItselfOnItsGpu) {
  (void)why_not();   // each has taken its GPU
  if (!nccl_built_in()) GTEST_SKIP() << "needs NCCL, which this build is without";
  if (!gpu_memory().why_absent().empty()) GTEST_SKIP() << "needs a GPU: " << gpu_memory().why_absent();
  World& world = mpi_world();
  auto const device = make_nccl_device();
  auto const settle = [&] { ASSERT_EQ(world.wait([&] { return device->settled(); }, soon(world)), Status::arrived); };
  constexpr std::size_t bytes = 100'000;
  PinnedBuffer const host{device->memory(), 2 * bytes};
  auto const sent = host.bytes().first(bytes), came = host.bytes().last(bytes);
  std::ranges::copy(pattern(bytes, 0, 0, 1), sent.begin());
  std::byte* const memory = device->memory().allocate(2 * bytes);
  device->open(device->make_id(), 1, 0);
  settle();
  device->copy_in(memory, sent);
  NcclTransfer const out{0, memory, bytes}, in{0, memory + bytes, bytes};
  device->transfer(std::span{&out, 1}, std::span{&in, 1});
  settle();
  device->copy_out(came, memory + bytes);
  device->mark();
  EXPECT_EQ(world.wait([&] { return device->passed(); }, soon(world)), Status::arrived);
  EXPECT_TRUE(std::ranges::equal(came, sent));
  device->finalize();
  settle();
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
