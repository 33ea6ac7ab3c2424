#include "runtime/output_paths.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "comm/error.hpp"

namespace pikv::runtime {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class OutputPathsTest : public ::testing::Test {
 protected:
  OutputPathsTest() : folder{fs::temp_directory_path() / ("output_paths_test_" + std::to_string(getpid()))} { fs::create_directory(folder); }
  ~OutputPathsTest() override { fs::remove_all(folder); }

  static std::string complaint_about(GenerateOptions const& options) {
    try {
      check_output_paths(options);
    } catch (InputError const& error) {
      return error.what();
    }
    return "no complaint";
  }
  static std::string complaint_about(std::string const& output, std::string const& trace = "") {
    GenerateOptions options;
    options.output = output;
    options.trace = trace;
    return complaint_about(options);
  }
  void make_file(std::string const& name) const { std::ofstream{folder / name} << "old"; }

  fs::path folder;
};

TEST_F(OutputPathsTest, ANewFileInAFolderIsFineAndNothingIsLeftThere) {
  EXPECT_EQ(complaint_about(folder / "out.jsonl"), "no complaint");
  EXPECT_TRUE(fs::is_empty(folder));
}

TEST_F(OutputPathsTest, AnOldResultMayBeReplacedAndIsThereUntilThen) {
  make_file("out.jsonl");
  EXPECT_EQ(complaint_about(folder / "out.jsonl"), "no complaint");
  EXPECT_EQ(fs::file_size(folder / "out.jsonl"), 3u);
}

TEST_F(OutputPathsTest, AMissingFolderIsNamed) { EXPECT_THAT(complaint_about(folder / "no" / "out"), HasSubstr("there is no folder " + (folder / "no").string() + "; make it")); }

TEST_F(OutputPathsTest, AFolderIsNoFile) {
  EXPECT_THAT(complaint_about(folder), HasSubstr("not a regular file"));
  EXPECT_THAT(complaint_about(folder / ""), HasSubstr("not a regular file"));
}

TEST_F(OutputPathsTest, ADeviceIsNoPlaceToRenameTo) { EXPECT_THAT(complaint_about("/dev/null"), HasSubstr("not a regular file")); }

TEST_F(OutputPathsTest, AFolderThatTakesNoFilesIsNamed) { EXPECT_THAT(complaint_about("/proc/out"), HasSubstr("cannot be made")); }

TEST_F(OutputPathsTest, TwoOutputsMayNotMeet) {
  EXPECT_THAT(complaint_about(folder / "a", folder / "." / "a"), HasSubstr("is the same file as --output="));
  EXPECT_THAT(complaint_about(folder / "a.part", folder / "a"), HasSubstr("is the same file as --output="));
}

TEST_F(OutputPathsTest, AnOutputMayNotOverwriteThePrompts) {
  make_file("prompts.jsonl");
  GenerateOptions options;
  options.prompts = options.output = folder / "prompts.jsonl";
  EXPECT_THAT(complaint_about(options), HasSubstr("is the same file as --prompts="));
}

}  // namespace
}  // namespace pikv::runtime
