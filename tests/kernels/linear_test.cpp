#include "kernels/linear.hpp"

#include <gtest/gtest.h>
#include <omp.h>

#include "random.hpp"

namespace pikv::kernels {
namespace {

TEST(Linear, ARowIsTheSameAmongOthersForAnyThreads) {
  Stream stream;
  std::int32_t const out = 300, in = 1024;
  auto const weights = random_stored(DType::bf16, static_cast<std::size_t>(out) * in, 1);
  auto const x = random_floats(static_cast<std::size_t>(7) * in, 2);
  MatrixView const w{weights.data(), DType::bf16, out, in};
  std::vector<float> together(static_cast<std::size_t>(7) * out), alone = together;
  omp_set_num_threads(2);
  host::linear(x.data(), w, together.data(), 7, stream);
  omp_set_num_threads(1);
  for (std::int32_t row = 0; row < 7; ++row) host::linear(x.data() + row * in, w, alone.data() + row * out, 1, stream);
  EXPECT_EQ(together, alone);
}

}  // namespace
}  // namespace pikv::kernels
