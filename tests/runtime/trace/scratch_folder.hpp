#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>

namespace pikv::runtime::test {

/// A folder of this test alone, gone with it.
class ScratchFolder {
 public:
  ScratchFolder() { std::filesystem::create_directories(path_); }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(ScratchFolder const&) = delete;
  std::string operator/(std::string const& name) const { return (path_ / name).string(); }

 private:
  static std::string unique_name() {
    auto const* test = ::testing::UnitTest::GetInstance()->current_test_info();
    std::string name = std::string{"pikv-"} + test->test_suite_name() + "-" + test->name() + "-" + std::to_string(::getpid());
    std::ranges::replace(name, '/', '.');   // of tests with parameters: a folder in a folder would stay behind, in another user's way
    return name;
  }
  std::filesystem::path path_ = std::filesystem::temp_directory_path() / unique_name();
};

}  // namespace pikv::runtime::test
