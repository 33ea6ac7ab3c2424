#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/mpi_world.hpp"
#include "trace_cases.hpp"

namespace pikv::runtime {
namespace {

using std::filesystem::exists;
std::unique_ptr<comm::World> world;

struct TraceMpiTest : ::testing::Test {
  TraceMpiTest() {
    if (world->rank() == 0) std::filesystem::create_directories(folder);
    meet();
  }
  ~TraceMpiTest() override {
    meet();
    if (world->rank() == 0) std::filesystem::remove_all(folder);
    meet();
  }
  void meet() { world->barrier(world->in(20)); }
  std::string from_rank_0(std::string const& text) {
    auto const all = world->all_gather(std::as_bytes(std::span{text}), world->in(20));
    return {reinterpret_cast<char const*>(all[0].data()), all[0].size()};
  }
  std::string folder =
      from_rank_0((std::filesystem::temp_directory_path() / ("pikv-trace-" + std::to_string(::getpid()))).string());
  std::string name = folder + "/run.h5";
};

TEST_F(TraceMpiTest, ATraceAppearsWhenClosed) {
  test::write_and_close(*world, name, 200);
  meet();
  EXPECT_TRUE(exists(name));
  EXPECT_FALSE(exists(name + ".part"));
}

TEST_F(TraceMpiTest, AMissingFolderIsTheSameErrorOnEveryRank) {
  std::string const said = test::error_of_making(*world, folder + "/none/run.h5");
  EXPECT_THAT(said, ::testing::StartsWith("code 2: --trace="));
  EXPECT_EQ(said, from_rank_0(said));
}

TEST_F(TraceMpiTest, DestroyedWithoutCloseItLeavesThePart) {
  test::write_and_fail(*world, name);
  meet();
  EXPECT_FALSE(exists(name));
  EXPECT_TRUE(exists(name + ".part"));
}

TEST_F(TraceMpiTest, ARankThatLetsGoAloneDoesNotWaitForTheOthers) {
  auto trace = std::make_unique<TraceWriter>(*world, name, test::sample_metadata(world->rank()));
  if (world->rank() == 0) trace.reset();
  meet();
}

TEST_F(TraceMpiTest, ADiskThatIsFullForOneRankIsTheSameErrorOnEveryRankAndNothingAppears) {
  std::optional<test::FileSizeLimit> limit;
  comm::Rank const troubled = std::min(1, world->size() - 1);
  if (world->rank() == troubled) limit.emplace(2 << 20);
  std::string const said = test::error_of([&] { test::write_and_close(*world, name, 10'000); });
  EXPECT_THAT(said, ::testing::StartsWith(troubled == 0 ? "code 1: could not" : "code 1: rank 1: could not"));
  EXPECT_EQ(said, from_rank_0(said));
  meet();
  EXPECT_FALSE(exists(name));
}

}  // namespace
}  // namespace pikv::runtime

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  pikv::runtime::world = pikv::comm::make_mpi_world({});
  int const failed = RUN_ALL_TESTS();
  pikv::runtime::world.reset();
  return failed;
}
