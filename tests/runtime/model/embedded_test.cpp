#include "runtime/model/embedded.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/runtime/model/model_files.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::runtime {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

struct EmbeddedTest : ::testing::Test {
  void TearDown() override { ::unsetenv("PIKV_DATA"); }
  void set_data(std::filesystem::path const& path) { ::setenv("PIKV_DATA", path.c_str(), 1); }
};

TEST_F(EmbeddedTest, FindsModelAndPromptsOfTheSourceTree) {
  ::unsetenv("PIKV_DATA");
  EXPECT_TRUE(std::filesystem::equivalent(embedded_model_dir(), test::embedded_folder() / "tiny-moe"));
  EXPECT_TRUE(std::filesystem::equivalent(sample_prompts_file(), test::embedded_folder() / "prompts.jsonl"));
}

TEST_F(EmbeddedTest, PrefersTheFolderThatPIKV_DATANames) {
  test::ScratchFolder const folder;
  std::filesystem::create_directory(folder.path() / "tiny-moe");
  test::write_file(folder.path() / "tiny-moe/config.json", "{}");
  set_data(folder.path());
  EXPECT_EQ(embedded_model_dir(), folder.path() / "tiny-moe");
  set_data(folder.path() / "tiny-moe");
  EXPECT_EQ(embedded_model_dir(), folder.path() / "tiny-moe");
}

TEST_F(EmbeddedTest, SaysWhereItLookedInVain) {
  test::ScratchFolder const folder;
  set_data(folder.path());
  EXPECT_THAT(test::complaint([] { (void)embedded_model_dir(); }), AllOf(HasSubstr(folder.path().string()), HasSubstr("PIKV_DATA")));
  EXPECT_THAT(test::complaint([] { (void)sample_prompts_file(); }), HasSubstr((folder.path() / "prompts.jsonl").string()));
}

}   // namespace
}   // namespace pikv::runtime
