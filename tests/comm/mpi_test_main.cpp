#include "mpi_test_main.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>

#include "comm/transports.hpp"

namespace pikv::comm::test {
namespace {

World* the_world = nullptr;

/// Rank 0 prints as usual; of the others only failures are printed, with their rank.
class FailuresWithTheirRank : public ::testing::EmptyTestEventListener {
  void OnTestStart(::testing::TestInfo const& info) override { test_ = info.name(); }
  void OnTestEnd(::testing::TestInfo const&) override { test_ = "outside a test"; }
  void OnTestPartResult(::testing::TestPartResult const& result) override {   // under gtest's lock: it cannot be asked which test this is
    if (!result.failed()) return;
    std::cerr << "rank " << the_world->rank() << " failed " << test_ << " at "
              << (result.file_name() ? result.file_name() : "?") << ":" << result.line_number() << "\n" << result.message() << std::endl;
  }

  std::string test_ = "outside a test";
};

int run_everywhere(World& world) {
  auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
  if (world.rank() != 0) delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new FailuresWithTheirRank);
  int const mine = RUN_ALL_TESTS();
  int worst = 0;
  for (Bytes const& theirs : world.all_gather(std::as_bytes(std::span{&mine, 1}), world.in(60))) {
    int code = 0;
    std::memcpy(&code, theirs.data(), sizeof code);
    worst = std::max(worst, code);
  }
  return worst;
}

}  // namespace

World& mpi_world() { return *the_world; }

}  // namespace pikv::comm::test

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  char const* const transport = std::getenv("PIKV_TEST_TRANSPORT");
  auto const world = pikv::comm::transports().at(transport != nullptr ? transport : "mpi").make({});
  pikv::comm::test::the_world = world.get();
  try {
    return pikv::comm::test::run_everywhere(*world);
  } catch (std::exception const& error) {
    world->abort(1, error.what());
  }
}
