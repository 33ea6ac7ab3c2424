#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "tests/device_under_test.hpp"

namespace pikv::test {

namespace {

class Gpu : public ::testing::Environment {
  void SetUp() override {
    std::string const why = device_memory().why_absent();
    if (why.empty()) return;
    std::printf("skipped: needs a GPU: %s\n", why.c_str());   // which ctest looks for: no test is run, and none counts as skipped
    GTEST_SKIP();
  }
};

[[maybe_unused]] auto* const skips = ::testing::AddGlobalTestEnvironment(new Gpu);

}  // namespace

comm::DeviceMemory& device_memory() { return comm::gpu_memory(); }

}  // namespace pikv::test
