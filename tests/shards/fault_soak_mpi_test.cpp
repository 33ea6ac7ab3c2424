// The soak of fault_soak_test.cpp over real ranks and a real transport, without the rows whose faults end the job (tests/jobs/fault_plan_test.py
// has those). PIKV_SOAK_FAULTS=100000 mpirun -n 3 fault_soak_mpi_test   runs until the ranks together met so many faults (default: 3000).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

#include "mpi_test_main.hpp"
#include "tests/shards/fault_matrix.hpp"

namespace pikv::shards::testing {
namespace {

template <class Value>
std::vector<Value> of_all_ranks(comm::World& world, Value const& mine) {
  std::vector<Value> values;
  for (comm::Bytes const& theirs : world.all_gather(std::as_bytes(std::span{&mine, 1}), world.in(60)))
    std::memcpy(&values.emplace_back(), theirs.data(), sizeof mine);
  return values;
}

std::vector<Row> rows_that_go_on() {
  std::vector<Row> rows = matrix();
  std::erase_if(rows, [](Row const& row) { return row.deadly; });
  for (Row& row : rows) {   // this clock is real
    row.plan.delay_us = 50;
    row.plan.stall_ms = 1;
  }
  return rows;
}

TEST(FaultSoakOverMpi, NoWrongPageIsAcceptedAndNothingHangs) {
  comm::World& world = comm::test::mpi_world();
  std::vector<Row> rows = rows_that_go_on();
  comm::FaultCounts everywhere;
  std::uint64_t seed = 0;
  for (std::uint64_t round = 0; everywhere.total() < faults_wanted(3000); ++round)
    for (Row& row : rows) {
      ++seed;
      comm::FaultCounts mine;
      run_rank(world, row, seed, options_of(row, round), mine);
      for (comm::FaultCounts const& theirs : of_all_ranks(world, mine)) {
        add(row.faults, theirs);
        add(everywhere, theirs);
      }
      for (double const worst : of_all_ranks(world, row.outcome.worst)) ASSERT_LT(worst, 2e-6) << row.name << ", seed " << seed;
    }
  std::uint64_t outputs = 0, damaged = 0;
  for (Row const& row : rows) {
    bool const damages = row.plan.drop + row.plan.flip + row.plan.truncate > 0;
    std::uint64_t corrupt = 0;
    for (Counts const& theirs : of_all_ranks(world, row.outcome.counts)) corrupt += theirs.corrupt;
    for (std::uint64_t const theirs : of_all_ranks(world, row.outcome.outputs)) outputs += theirs;
    EXPECT_GT(row.faults.total(), 0u) << row.name;
    EXPECT_EQ(corrupt > 0, damages) << row.name;
    damaged += corrupt;
  }
  if (world.rank() == 0)
    fmt::print("{} faults in {} runs on {} ranks over {}; {} damaged pages refused, {} outputs compared, none wrong\n", everywhere.total(), seed,
               world.size(), world.data_path(), damaged, outputs);
}

}   // namespace
}   // namespace pikv::shards::testing
