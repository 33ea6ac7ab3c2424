#pragma once

#include <gtest/gtest.h>

#include "attend_problem.hpp"

namespace pikv::kernels {

inline void expect_close(std::vector<float> const& got, std::vector<double> const& wanted, double tolerance) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], wanted[i], tolerance * std::max(1.0, std::abs(wanted[i]))) << "at " << i;
}

inline void expect_close(std::vector<float> const& got, std::vector<float> const& wanted, double tolerance) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::isinf(wanted[i]))
      ASSERT_EQ(got[i], wanted[i]) << "at " << i;
    else
      ASSERT_NEAR(got[i], wanted[i], tolerance * std::max(1.0f, std::abs(wanted[i]))) << "at " << i;
  }
}

/// A context of `tokens` in pages of `page_tokens`.
inline std::vector<std::int32_t> pages_of(std::int32_t tokens, std::int32_t page_tokens) {
  std::vector<std::int32_t> pages(static_cast<std::size_t>(tokens / page_tokens), page_tokens);
  if (tokens % page_tokens) pages.push_back(tokens % page_tokens);
  return pages;
}

}  // namespace pikv::kernels
