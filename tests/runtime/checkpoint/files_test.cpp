#include "runtime/checkpoint/files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/runtime/trace/scratch_folder.hpp"
#include "tests/runtime/trace/trace_cases.hpp"

namespace pikv::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct CheckpointFiles : ::testing::Test {
  void make(std::string const& name) { std::ofstream{folder / name} << "x"; }
  std::vector<std::string> names(std::vector<std::filesystem::path> const& paths) {
    std::vector<std::string> all;
    for (auto const& path : paths) all.push_back(path.filename());
    return all;
  }
  test::ScratchFolder folder;
  std::string here = folder / "";
};

TEST_F(CheckpointFiles, AreNamedByTheirStep) { EXPECT_EQ(checkpoint_name("ck", 123), "ck/step-000000000123.h5"); }

TEST_F(CheckpointFiles, TheNewestComesFirstAndOtherNamesAreIgnored) {
  for (char const* name : {"step-000000000009.h5", "step-000000000100.h5", "step-000000000020.h5", "step-000000000300.h5.part", "step-12.h5",
                           "xstep-000000000999.h5", "step-000000000999.h5x", "run.h5", "step-00000000000a.h5"})
    make(name);
  EXPECT_THAT(names(checkpoints_in(here)), ElementsAre("step-000000000100.h5", "step-000000000020.h5", "step-000000000009.h5"));
  EXPECT_THAT(names(unfinished_in(here)), ElementsAre("step-000000000300.h5.part"));
}

TEST_F(CheckpointFiles, AFolderMeansItsNewestAndAFileItself) {
  make("step-000000000009.h5");
  make("step-000000000010.h5");
  make("any.name");
  EXPECT_EQ(checkpoint_at(here).filename(), "step-000000000010.h5");
  EXPECT_EQ(checkpoint_at(folder / "any.name").filename(), "any.name");
}

TEST_F(CheckpointFiles, WhereThereIsNoneItIsTold) {
  EXPECT_THAT(test::error_of([&] { (void)checkpoint_at(folder / "none"); }), HasSubstr("RunError: " + (folder / "none") + " does not exist"));
  make("step-000000000300.h5.part");
  EXPECT_THAT(test::error_of([&] { (void)checkpoint_at(here); }), HasSubstr("holds no complete checkpoint"));
  EXPECT_TRUE(checkpoints_in(folder / "none").empty());
}

TEST_F(CheckpointFiles, AllButTheLastTwoAndWhatIsUnfinishedAreRemovedAndNothingElse) {
  for (char const* name : {"step-000000000001.h5", "step-000000000002.h5", "step-000000000010.h5", "step-000000000001.h5.part", "notes.txt"})
    make(name);
  remove_older(here, {});
  EXPECT_THAT(names(checkpoints_in(here)), ElementsAre("step-000000000010.h5", "step-000000000002.h5"));
  EXPECT_TRUE(std::filesystem::exists(folder / "notes.txt"));
  EXPECT_TRUE(unfinished_in(here).empty());
  remove_older(here, {});
  EXPECT_EQ(checkpoints_in(here).size(), 2u);
}

TEST_F(CheckpointFiles, TheOneThatPagesStillComeFromIsKeptUntilTheyAreRead) {
  for (char const* name : {"step-000000000001.h5", "step-000000000002.h5", "step-000000000010.h5", "step-000000000020.h5"}) make(name);
  remove_older(here, std::filesystem::path{here} / "." / "step-000000000001.h5");
  EXPECT_THAT(names(checkpoints_in(here)), ElementsAre("step-000000000020.h5", "step-000000000010.h5", "step-000000000001.h5"));
  remove_older(here, {});
  EXPECT_THAT(names(checkpoints_in(here)), ElementsAre("step-000000000020.h5", "step-000000000010.h5"));
}

TEST_F(CheckpointFiles, ThoseOfAFutureThatDidNotHappenAreRemoved) {
  for (char const* name : {"step-000000000002.h5", "step-000000000010.h5", "step-000000000012.h5", "step-000000000014.h5", "step-000000000020.h5"})
    make(name);
  remove_future(folder / "step-000000000014.h5", 10);
  EXPECT_THAT(names(checkpoints_in(here)), ElementsAre("step-000000000014.h5", "step-000000000010.h5", "step-000000000002.h5"));
}

}   // namespace
}   // namespace pikv::runtime
