#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "comm/transports.hpp"
#include "conformance.hpp"
#include "mpi_test_main.hpp"

namespace pikv::comm::test {
namespace {

using std::chrono::milliseconds;
constexpr std::size_t mib = std::size_t{1} << 20;

std::unique_ptr<World> ucx_world(ProgressThread const& progress, double silence_s = 15) {
  return transports().at("ucx").make({.progress = progress, .silence_s = silence_s});
}

/// Every rank puts `count` blocks into the next rank's memory, all at once, and looks at what came into its own.
void put_many(World& world, std::size_t count, std::size_t bytes) {
  auto const transport = world.make_transport();
  Region const mine = transport->allocate(count * bytes, Space::host);
  Rank const next = (world.rank() + 1) % world.size(), previous = (world.rank() + world.size() - 1) % world.size();
  std::vector<std::vector<std::byte>> blocks;
  std::vector<Op> ops;
  for (std::size_t i = 0; i < count; ++i) {
    blocks.push_back(pattern(bytes, world.rank(), next, static_cast<int>(i)));
    ops.push_back(transport->put(next, mine.at(i * bytes), blocks.back()));
  }
  ops.push_back(transport->flush(next));
  for (Op const op : ops) ASSERT_EQ(transport->wait(op, soon(world)), Status::arrived);
  world.barrier(soon(world));
  for (std::size_t i = 0; i < count; ++i)
    ASSERT_EQ(0, std::memcmp(mine.data + i * bytes, pattern(bytes, previous, world.rank(), static_cast<int>(i)).data(), bytes)) << "block " << i;
}

struct Ucx : ::testing::Test {
  World& mpi = mpi_world();
  void TearDown() override { mpi.barrier(soon(mpi)); }
};

TEST_F(Ucx, MorePutsThanMayBeInFlightAllArrive) { put_many(*ucx_world({}), 40, mib); }
TEST_F(Ucx, APutLargerThanWhatMayBeInFlightArrives) { put_many(*ucx_world({}), 2, 24 * mib); }
TEST_F(Ucx, NoProgressThreadIsNeeded) { put_many(*ucx_world({.on = false}), 40, mib / 4); }
TEST_F(Ucx, TheProgressThreadMayHaveACore) { put_many(*ucx_world({.core = 0}), 40, mib / 4); }

TEST_F(Ucx, WhatCarriesBytesIsNamed) {
  auto const world = ucx_world({});
  auto const text = world->data_path();
  char const* const only = std::getenv("UCX_TLS");
  EXPECT_NE(text.find(only != nullptr ? "tcp/lo to" : "sysv"), std::string::npos) << text;
  EXPECT_EQ(text.starts_with("UCX 1."), true) << text;
}

TEST_F(Ucx, AFetchIsServedWhileItsOwnerComputes) {
  auto const world = ucx_world({});
  auto const transport = world->make_transport();
  std::size_t const bytes = 3 * mib;
  Region const mine = transport->allocate(bytes, Space::host);
  Rank const owner = world->size() - 1;
  if (world->rank() == owner) std::memcpy(mine.data, pattern(bytes, owner, 0, 0).data(), bytes);
  world->barrier(soon(*world));
  auto const begin = std::chrono::steady_clock::now();
  if (world->rank() == owner) {
    std::this_thread::sleep_for(milliseconds{3000});   // as long as computation that calls nothing of ours
  } else {
    std::vector<std::byte> into(bytes);
    EXPECT_EQ(transport->wait(transport->get(owner, mine.at(0), into), soon(*world)), Status::arrived);
    EXPECT_EQ(into, pattern(bytes, owner, 0, 0));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds{2900}) << "the owner's thread did not serve it";
  }
  world->barrier(soon(*world));
}

TEST_F(Ucx, ARankThatComputesForLongIsNotGone) {
  auto const world = ucx_world({}, 1);
  if (world->rank() == 0) std::this_thread::sleep_for(milliseconds{2500});
  EXPECT_EQ(world->wait([&] { return world->now() > 3; }, soon(*world)), Status::arrived);
  for (Rank rank = 0; rank < world->size(); ++rank) EXPECT_FALSE(world->known_gone(rank));
}

/// A child stops this process for `duration` and lets it go on.
void suspend_myself(milliseconds duration) {
  pid_t const me = ::getpid();
  pid_t const child = ::fork();
  if (child == 0) {
    ::kill(me, SIGSTOP);
    ::usleep(static_cast<useconds_t>(duration.count() * 1000));
    ::kill(me, SIGCONT);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
}

TEST_F(Ucx, ASuspendedJobGoesOn) {
  auto const world = ucx_world({}, 1);
  suspend_myself(milliseconds{2500});   // all ranks, as a batch system does
  EXPECT_EQ(world->wait([&] { return world->now() > 4; }, soon(*world)), Status::arrived);
}

}  // namespace
}  // namespace pikv::comm::test
