// Trouble of one rank ends the checkpoint on all of them, at once: the limit of this test is far below the deadlines that would end a wait.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "comm/mpi_world.hpp"
#include "runtime/agree.hpp"
#include "runtime/checkpoint/saver.hpp"
#include "runtime/checkpoint/verify.hpp"
#include "sample.hpp"
#include "tests/runtime/trace/trace_cases.hpp"

namespace pikv::runtime {
namespace {

using std::filesystem::exists;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
std::unique_ptr<comm::World> world;

/// While it lives, relative names mean what is in `folder`, or for a rank that is apart in an empty one.
class Apart {
 public:
  Apart(std::string const& folder, bool apart) {
    std::filesystem::create_directories(folder + "/elsewhere");
    std::filesystem::current_path(apart ? folder + "/elsewhere" : folder);
  }
  ~Apart() { std::filesystem::current_path(before_); }
  Apart(Apart const&) = delete;

 private:
  std::filesystem::path before_ = std::filesystem::current_path();
};

struct CheckpointWriterMpi : ::testing::Test {
  CheckpointWriterMpi() {
    if (world->rank() == 0) std::filesystem::create_directories(folder);
    meet();
  }
  ~CheckpointWriterMpi() override {
    meet();
    if (world->rank() == 0) std::filesystem::remove_all(folder);
    meet();
  }
  void meet() { world->barrier(world->in(20)); }
  std::string from_rank_0(std::string const& text) {
    auto const all = world->all_gather(std::as_bytes(std::span{text}), world->in(20));
    return {reinterpret_cast<char const*>(all[0].data()), all[0].size()};
  }
  void write(std::filesystem::path const& path) {
    auto facts = test::sample_facts();
    facts.ranks = world->size();
    test::write_sample_on(*world, path, facts);
  }
  std::string error_of_writing(std::filesystem::path const& path) {
    std::string said;
    try {
      write(path);
    } catch (AgreedError const& error) {   // so that it is said once
      EXPECT_EQ(error.code, 1);
      said = error.what();
    }
    EXPECT_EQ(said, from_rank_0(said));
    return said;
  }
  std::string folder = from_rank_0((std::filesystem::temp_directory_path() / ("pikv-writer-" + std::to_string(::getpid()))).string());
  std::string name = folder + "/step-000000000040.h5";
  comm::Rank troubled = std::min(1, world->size() - 1);   // it has pages to write
};

TEST_F(CheckpointWriterMpi, WhatAllRanksWroteHolds) {
  write(name);
  EXPECT_EQ(verify_checkpoint(CheckpointReader{name}).pages, 10u);
}

TEST_F(CheckpointWriterMpi, ADiskThatIsFullForOneRankIsTheSameErrorOnEveryRankAndTheCheckpointBeforeIsWhole) {
  write(name);
  std::optional<test::FileSizeLimit> limit;
  if (world->rank() == troubled) limit.emplace(100);
  EXPECT_THAT(error_of_writing(name), StartsWith(troubled == 0 ? "could not" : "rank 1: could not"));
  limit.reset();
  EXPECT_EQ(verify_checkpoint(CheckpointReader{name}).pages, 10u);
}

TEST_F(CheckpointWriterMpi, AFolderThatHasGoneSinceTheJobBeganIsAnErrorOfTheRun) {
  EXPECT_THAT(error_of_writing(folder + "/gone/here.h5"), AllOf(StartsWith("--checkpoint="), HasSubstr("there is no folder " + folder + "/gone; make it")));
}

TEST_F(CheckpointWriterMpi, AFileThatOneRankDoesNotSeeIsTheSameErrorOnEveryRank) {
  if (world->size() == 1) GTEST_SKIP() << "the rank that makes the file sees it";
  Apart const here{folder, world->rank() == troubled};
  EXPECT_THAT(error_of_writing("here.h5"), StartsWith("rank 1: here.h5.part cannot be opened here (No such file or directory)"));
  EXPECT_FALSE(exists(folder + "/here.h5"));
}

TEST_F(CheckpointWriterMpi, AFolderThatOneRankDoesNotSeeIsRefusedOnEveryRankBeforeTheFirstStep) {
  if (world->size() == 1) GTEST_SKIP() << "the rank that makes the folder sees it";
  Apart const here{folder, world->rank() == troubled};
  GenerateOptions options;
  options.checkpoint = "saved";
  try {
    Saver const saver{*world, options, {}};
    ADD_FAILURE() << "nobody was refused";
  } catch (AgreedError const& error) {
    EXPECT_EQ(error.code, 2);
    EXPECT_THAT(error.what(), AllOf(StartsWith("rank 1: --checkpoint=saved is not seen on "), HasSubstr("that all hosts share")));
  }
}

}   // namespace
}   // namespace pikv::runtime

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  pikv::runtime::world = pikv::comm::make_mpi_world({});
  int const failed = RUN_ALL_TESTS();
  pikv::runtime::world.reset();
  return failed;
}
