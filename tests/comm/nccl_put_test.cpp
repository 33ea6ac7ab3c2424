#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <string>

#include "comm/error.hpp"
#include "comm/inprocess_world.hpp"
#include "comm/nccl.hpp"
#include "comm/nccl_put_world.hpp"
#include "conformance.hpp"
#include "fenced_memory.hpp"
#include "nccl_stand_in.hpp"
#include "patient_world.hpp"

namespace pikv::comm::test {
namespace {

using ::testing::HasSubstr;

struct Shape {
  int ranks = 3, team = 1 << 30;
  std::size_t staging_bytes = 1 << 20;
  NcclFaults faults = {};
};

/// Ranks of this process whose device memory is one and whose puts there go over the stand-in.
class PutJob {
 public:
  explicit PutJob(Shape const& shape, std::uint64_t seed = 1)
      : shape_{shape},
        seed_{seed},
        stand_in_{shape.ranks, shape.faults, static_cast<unsigned>(seed), NcclStandIn::Pace::at_once, {&memory_, shape.team}} {}

  void run(FunctionRef<void(World&)> body) {
    device_under_test() = &memory_;
    run_inprocess({.ranks = shape_.ranks, .seed = seed_, .ranks_per_host = 2, .device = &memory_}, [&](World& inner) {
      PatientWorld patient{inner};
      body(*make_nccl_put_world(patient, stand_in_.device(inner.rank()), {.staging_bytes = shape_.staging_bytes}));
    });
    device_under_test() = nullptr;
  }
  FencedMemory& memory() { return memory_; }
  int copies(Rank rank) const { return stand_in_.copies(rank); }
  std::size_t in_use() const { return memory_.in_use() + stand_in_.in_use(); }

 private:
  Shape shape_;
  std::uint64_t seed_;
  FencedMemory memory_;
  NcclStandIn stand_in_;
};

using PutConformance = ::testing::TestWithParam<std::tuple<Case, Shape>>;

TEST_P(PutConformance, Holds) {
  auto const& [test, shape] = GetParam();
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    PutJob job{shape, seed};
    job.run([&](World& world) {
      SCOPED_TRACE("rank " + std::to_string(world.rank()) + ", seed " + std::to_string(seed));
      test.body(world);
    });
    EXPECT_EQ(job.in_use(), 0u);
  }
}
std::string name_of(std::tuple<Case, Shape> const& parameters) {
  auto const& [test, shape] = parameters;
  std::string const team = shape.team > shape.ranks ? "" : "_by_" + std::to_string(shape.team);
  return test.name + std::string{"_"} + std::to_string(shape.ranks) + team + (shape.staging_bytes < 100'000 ? "_little_staging" : "");
}
Shape const shapes[] = {{.ranks = 2}, {.ranks = 3}, {.ranks = 4, .team = 2}, {.ranks = 3, .team = 1}, {.ranks = 3, .staging_bytes = 10'000}};
std::vector<Case> cases_of_puts() {
  auto cases = cases_in_device_memory();
  for (Case const& test : transport_cases())
    if (test.name == std::string{"TransfersAllocateNothing"} || test.name == std::string{"FetchAddGivesEveryRankItsOwnTicket"}) cases.push_back(test);
  return cases;
}
INSTANTIATE_TEST_SUITE_P(All, PutConformance, ::testing::Combine(::testing::ValuesIn(cases_of_puts()), ::testing::ValuesIn(shapes)),
                         [](auto const& instance) { return name_of(instance.param); });

/// Every rank puts `bytes` to every rank `rounds` times, flushes, and all look at what has come.
void put_to_all(World& world, DeviceMemory& memory, std::size_t bytes = 50'000, int rounds = 3) {
  auto const transport = world.make_transport();
  Region const inbox = transport->allocate(bytes * static_cast<std::size_t>(world.size()), Space::device);
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::vector<std::byte>> sent;
    std::vector<Op> ops;
    for (Rank to = 0; to < world.size(); ++to) {
      sent.push_back(pattern(bytes, world.rank(), to, round));
      ops.push_back(transport->put(to, inbox.at(bytes * static_cast<std::uint64_t>(world.rank())), sent.back()));
      ops.push_back(transport->flush(to));
    }
    for (Op const op : ops) ASSERT_EQ(transport->wait(op, soon(world)), Status::arrived);
    world.barrier(soon(world));
    for (Rank from = 0; from < world.size(); ++from) {
      std::vector<std::byte> came(bytes);
      memory.copy_out(came, inbox.data + bytes * static_cast<std::size_t>(from));
      EXPECT_EQ(came, pattern(bytes, from, world.rank(), round));
    }
    world.barrier(soon(world));
  }
}

TEST(NcclPuts, GoToThePeersWhoseGpuIsReachedAndTheLineAboutTheTransportSaysHowMany) {
  PutJob job{{.ranks = 4, .team = 2}};
  job.run([&](World& world) {
    EXPECT_EQ(world.data_path().find("NCCL"), std::string::npos) << "it is not known yet";
    put_to_all(world, job.memory());
    EXPECT_THAT(world.data_path(), ::testing::EndsWith(", puts into GPU memory over NCCL " + nccl_version() + " to 1 of 3 other ranks"));
  });
  for (Rank rank = 0; rank < 4; ++rank) EXPECT_EQ(job.copies(rank), 3) << "one in each round";
}

TEST(NcclPuts, ThatAreLongerThanTheStagingMemoryGoInPieces) {
  PutJob job{{.ranks = 2, .staging_bytes = 20'000}};
  job.run([&](World& world) { put_to_all(world, job.memory(), 50'000, 1); });
  EXPECT_EQ(job.copies(0), 5);
}

TEST(NcclPuts, AFlushWaitsForThePutsBeforeItAlone) {
  PutJob job{{.ranks = 2, .faults = {.stops_copying = 1, .at_copy = 1}}};
  auto const body = [&](World& world) {
    auto const transport = world.make_transport();
    Region const inbox = transport->allocate(2000, Space::device);
    Rank const other = 1 - world.rank();
    auto const first = pattern(1000, world.rank(), other, 1), second = pattern(1000, world.rank(), other, 2);
    Op const put = transport->put(other, inbox.at(0), first);
    Op const flush = transport->flush(other);
    Op const later = transport->put(other, inbox.at(1000), second);
    EXPECT_EQ(transport->wait(flush, soon(world)), Status::arrived);
    world.barrier(soon(world));
    std::vector<std::byte> came(1000);
    job.memory().copy_out(came, inbox.data);
    EXPECT_EQ(came, pattern(1000, other, world.rank(), 1));
    for (Op const op : {put, later}) EXPECT_EQ(transport->wait(op, soon(world)), Status::arrived) << "staged";
    EXPECT_EQ(transport->wait(transport->flush(other), world.in(1)), world.rank() == 1 ? Status::timeout : Status::arrived);
    world.barrier(soon(world));
    throw RunError("the job ends");
  };
  EXPECT_THROW(job.run(body), RunError);
}

TEST(NcclPuts, TransportsOfAWorldShareItsStream) {
  PutJob job{{.ranks = 2}};
  job.run([&](World& world) {
    auto const first = world.make_transport(), second = world.make_transport();
    Rank const other = 1 - world.rank();
    std::vector<Op> ops;
    std::array<Region, 2> const inboxes{first->allocate(1000, Space::device), second->allocate(1000, Space::device)};
    auto const mine = pattern(1000, world.rank(), other, 0);
    Op const one = first->put(other, inboxes[0].at(0), mine), two = second->put(other, inboxes[1].at(0), mine);
    for (Op const op : {two, second->flush(other)}) EXPECT_EQ(second->wait(op, soon(world)), Status::arrived);
    for (Op const op : {one, first->flush(other)}) EXPECT_EQ(first->wait(op, soon(world)), Status::arrived);
    world.barrier(soon(world));
    for (Region const& inbox : inboxes) {
      std::vector<std::byte> came(1000);
      job.memory().copy_out(came, inbox.data);
      EXPECT_EQ(came, pattern(1000, other, world.rank(), 0));
    }
    world.barrier(soon(world));
  });
}

/// What a put of `bytes` and its flush ended as on each of three ranks, or what was thrown.
struct Ended {
  std::optional<Status> put, flush;
  std::string error;
};
std::array<Ended, 3> put_to_the_next(Shape const& shape, std::size_t bytes) {
  std::array<Ended, 3> ended;
  PutJob job{shape};
  EXPECT_THROW(job.run([&](World& world) {
    auto transport = world.make_transport();
    Region const inbox = transport->allocate(bytes, Space::device);
    Rank const next = (world.rank() + 1) % 3;
    auto const sent = pattern(bytes, world.rank(), next, 0);
    Ended& mine = ended[static_cast<std::size_t>(world.rank())];
    try {
      Op const put = transport->put(next, inbox.at(0), sent), flush = transport->flush(next);
      mine.put = transport->wait(put, world.in(1));
      mine.flush = transport->wait(flush, world.in(1));
      if (mine.flush != Status::arrived) mine.flush = transport->wait(transport->flush(next), world.in(1));   // nor does a later one
    } catch (RunError const& error) {
      mine.error = error.what();
    }
    transport.reset();
    world.barrier(soon(world));
    throw RunError("the job ends");
  }),
               RunError);
  return ended;
}

TEST(NcclPuts, AStreamThatStopsIsATimeoutOfTheFlushes) {
  auto const ended = put_to_the_next({.faults = {.stops_copying = 1}}, 1000);
  for (auto const r : {0u, 2u}) EXPECT_EQ(ended[r].flush, Status::arrived);
  EXPECT_EQ(ended[1].put, Status::arrived) << "its bytes are staged";
  EXPECT_EQ(ended[1].flush, Status::timeout);
}

TEST(NcclPuts, OfAPutThatWasGivenUpNoFlushSaysThatItHasArrived) {
  auto const ended = put_to_the_next({.staging_bytes = 2000, .faults = {.stops_copying = 1, .at_copy = 1}}, 10'000);
  EXPECT_EQ(ended[1].put, Status::timeout);
  EXPECT_EQ(ended[1].flush, Status::timeout);
}

TEST(NcclPuts, AnErrorOfTheGpuWhenAStuckTransportGoesEndsNothingElse) {
  auto const ended = put_to_the_next({.faults = {.stops_copying = 1, .fails_ended = 1}}, 1000);
  EXPECT_EQ(ended[1].flush, Status::timeout);
}

TEST(NcclPuts, AnErrorOfTheGpuIsSaidInItsWords) {
  auto const ended = put_to_the_next({.faults = {.fails_copying = 1}}, 1000);
  EXPECT_THAT(ended[1].error, HasSubstr("the GPU could not run what was queued: an illegal memory access"));
  for (auto const r : {0u, 2u}) EXPECT_EQ(ended[r].flush, Status::arrived);
}

void expect_all_go_without(NcclFaults const& faults, std::string const& because) {
  PutJob job{{.faults = faults}};
  job.run([&](World& world) {
    put_to_all(world, job.memory());
    EXPECT_THAT(world.data_path(), HasSubstr(", puts into GPU memory not over NCCL: " + because));
  });
  for (Rank rank = 0; rank < 3; ++rank) EXPECT_EQ(job.copies(rank), 0);
}
TEST(NcclPuts, WhereARankHasNoWindowsAllGoWithout) { expect_all_go_without({.no_windows = 1}, "rank 1 on host0: NCCL makes no windows here"); }
TEST(NcclPuts, WhereARankDoesNotComeToRegisterAllGoWithout) {
  expect_all_go_without({.never_registers = 2}, "rank 0 on host0: NCCL did not register memory of the GPU within 60 s; NCCL_DEBUG=WARN");
}

TEST(NcclPuts, PartsThatDifferInSizeGoWithout) {
  PutJob job{{}};
  job.run([](World& world) {
    auto const transport = world.make_transport();
    (void)transport->allocate(static_cast<std::size_t>(world.rank()), Space::device);
    EXPECT_THAT(world.data_path(), HasSubstr("not over NCCL: the ranks' parts of it differ in size"));
  });
}

/// A second region gets no window: the put that is under way then arrives, and so does the next, by the transport below.
void expect_puts_go_on_without(NcclFaults const& faults, FunctionRef<std::size_t(Rank)> second_bytes, std::string const& because) {
  PutJob job{{.faults = faults}};
  job.run([&](World& world) {
    auto const transport = world.make_transport();
    Region const inbox = transport->allocate(2000, Space::device);
    Rank const next = (world.rank() + 1) % 3, previous = (world.rank() + 2) % 3;
    auto const before = pattern(1000, world.rank(), next, 1), after = pattern(1000, world.rank(), next, 2);
    Op const early = transport->put(next, inbox.at(0), before);
    (void)transport->allocate(second_bytes(world.rank()), Space::device);
    EXPECT_THAT(world.data_path(), HasSubstr("puts into GPU memory not over NCCL: " + because));
    Op const late = transport->put(next, inbox.at(1000), after);
    for (Op const op : {early, late, transport->flush(next)}) EXPECT_EQ(transport->wait(op, soon(world)), Status::arrived);
    world.barrier(soon(world));
    for (int i = 0; i < 2; ++i) {
      std::vector<std::byte> came(1000);
      job.memory().copy_out(came, inbox.data + 1000 * i);
      EXPECT_EQ(came, pattern(1000, previous, world.rank(), 1 + i));
    }
    world.barrier(soon(world));
  });
  for (Rank rank = 0; rank < 3; ++rank) EXPECT_EQ(job.copies(rank), 1) << "of the put before";
}
TEST(NcclPuts, WhereALaterWindowFailsAllGoOnWithout) {
  expect_puts_go_on_without({.no_windows = 1, .from_window = 1}, [](Rank) { return std::size_t{1000}; }, "rank 1 on host0: NCCL makes no windows here");
}
TEST(NcclPuts, WhereLaterPartsDifferInSizeAllGoOnWithout) {
  expect_puts_go_on_without({}, [](Rank rank) { return static_cast<std::size_t>(1 + rank); }, "the ranks' parts of it differ in size");
}

}  // namespace
}  // namespace pikv::comm::test
