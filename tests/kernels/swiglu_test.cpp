#include "kernels/swiglu.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pikv::kernels {
namespace {

TEST(SimdTarget, HasAName) { EXPECT_GT(std::string{host::simd_target()}.size(), 2u); }

}  // namespace
}  // namespace pikv::kernels
