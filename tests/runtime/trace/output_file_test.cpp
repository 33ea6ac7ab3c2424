#include "runtime/output_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "comm/error.hpp"
#include "scratch_folder.hpp"

namespace pikv::runtime {
namespace {

using std::filesystem::exists;

std::string text_in(std::string const& name) {
  std::ifstream file{name};
  return {std::istreambuf_iterator<char>{file}, {}};
}

std::string error_of(std::string const& name) {
  try {
    OutputFile const file{name, "--output"};
  } catch (InputError const& error) {
    return error.what();
  }
  return "no error";
}

struct OutputFileTest : ::testing::Test {
  test::ScratchFolder folder;
};

TEST_F(OutputFileTest, AppearsUnderItsNameOnlyWhenCommitted) {
  std::string const name = folder / "out.jsonl";
  OutputFile file{name, "--output"};
  file.write("one\n");
  file.write("two\n");
  EXPECT_FALSE(exists(name));
  EXPECT_TRUE(exists(name + ".part"));
  file.commit();
  EXPECT_EQ(text_in(name), "one\ntwo\n");
  EXPECT_FALSE(exists(name + ".part"));
}

TEST_F(OutputFileTest, DestroyedWithoutCommitItKeepsTheOldFileAndLeavesThePart) {
  std::string const name = folder / "out.jsonl";
  std::ofstream{name} << "old";
  {
    OutputFile file{name, "--output"};
    file.write("new");
  }
  EXPECT_EQ(text_in(name), "old");
  EXPECT_EQ(text_in(name + ".part"), "new");
}

TEST_F(OutputFileTest, ReplacesAnOlderFile) {
  std::string const name = folder / "out.jsonl";
  std::ofstream{name} << "a much longer old text";
  OutputFile file{name, "--output"};
  file.write("new");
  file.commit();
  EXPECT_EQ(text_in(name), "new");
}

TEST_F(OutputFileTest, RefusesAMissingFolderByName) {
  EXPECT_THAT(error_of(folder / "none/out"), ::testing::AllOf(::testing::StartsWith("--output="), ::testing::HasSubstr("there is no folder")));
}

TEST_F(OutputFileTest, RefusesAFolderAndADeviceForRenamingWouldReplaceThem) {
  std::filesystem::create_directory(folder / "sub");
  EXPECT_THAT(error_of(folder / "sub"), ::testing::HasSubstr("not a regular file"));
  EXPECT_THAT(error_of("/dev/null"), ::testing::HasSubstr("not a regular file"));
  EXPECT_FALSE(exists("/dev/null.part"));
}

TEST_F(OutputFileTest, AFullDiskIsARunErrorAndNothingAppears) {
  std::string const name = folder / "out.jsonl";
  std::filesystem::create_symlink("/dev/full", name + ".part");
  OutputFile file{name, "--output"};
  EXPECT_THROW(
      {
        file.write(std::string(1 << 20, 'x'));
        file.commit();
      },
      RunError);
  EXPECT_FALSE(exists(name));
}

}  // namespace
}  // namespace pikv::runtime
