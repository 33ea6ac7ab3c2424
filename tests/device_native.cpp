#include <gtest/gtest.h>

#include "tests/device_under_test.hpp"

namespace pikv::test {

namespace {

class Gpu : public ::testing::Environment {
  void SetUp() override {
    if (std::string const why = device_memory().why_absent(); !why.empty()) GTEST_SKIP() << "needs a GPU: " << why;
  }
};

[[maybe_unused]] auto* const skips = ::testing::AddGlobalTestEnvironment(new Gpu);

}  // namespace

comm::DeviceMemory& device_memory() { return comm::gpu_memory(); }

}  // namespace pikv::test
