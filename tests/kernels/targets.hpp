#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <bit>
#include <cstdint>

namespace pikv::kernels {

/// Runs body() once per instruction set that was compiled and that this machine has.
template <class Body>
void on_each_target(Body const& body) {
  std::int64_t left = hwy::SupportedTargets() & HWY_TARGETS;
  EXPECT_NE(left, 0);
  for (; left != 0; left &= left - 1) {
    std::int64_t const target = left & -left;
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace pikv::kernels
