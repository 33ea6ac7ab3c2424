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

struct Shape {
  DType dtype;
  std::int32_t q_heads, kv_heads, page_tokens, head_dim;
};

inline std::ostream& operator<<(std::ostream& to, Shape const& s) {
  return to << name_of(s.dtype) << " heads " << s.q_heads << "/" << s.kv_heads << " page " << s.page_tokens << " d " << s.head_dim;
}

inline constexpr Shape attend_shapes[] = {{DType::bf16, 4, 2, 32, 64},   {DType::f32, 4, 2, 8, 64},   {DType::f16, 4, 2, 64, 64},
                                          {DType::bf16, 32, 8, 16, 128}, {DType::bf16, 6, 2, 32, 24}, {DType::f32, 6, 2, 32, 24},
                                          {DType::f16, 5, 5, 128, 40},   {DType::bf16, 7, 1, 1, 80},  {DType::f16, 9, 3, 2, 7},
                                          {DType::bf16, 3, 3, 4, 1},     {DType::f32, 8, 1, 256, 33}, {DType::bf16, 3, 1, 8, 96},
                                          {DType::bf16, 10, 2, 16, 160}, {DType::bf16, 1, 1, 64, 32}};

}  // namespace pikv::kernels
