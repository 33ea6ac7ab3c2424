#include <gmock/gmock.h>

#include <functional>
#include <vector>

#include "kernels/append.hpp"
#include "kernels/attend.hpp"
#include "kernels/gate.hpp"
#include "kernels/linear.hpp"
#include "kernels/merge.hpp"
#include "kernels/norm.hpp"
#include "kernels/pages.hpp"
#include "kernels/rotary.hpp"
#include "kernels/summary.hpp"
#include "kernels/swiglu.hpp"

namespace pikv::kernels {
namespace {

TEST(CudaKernels, SayWhatToDoWhereTheyCannotRun) {   // not built, or handed a host stream: a sentence, never a crash
  Stream s;
  std::vector<std::function<void()>> const calls{
      [&] { cuda::add(nullptr, nullptr, 1, s); },
      [&] { cuda::append({}, nullptr, nullptr, nullptr, nullptr, 1, s); },
      [&] { cuda::attend({}, {}, nullptr, 1, 1, {}, nullptr, s); },
      [&] { cuda::checksum({}, nullptr, 1, 1024, 1, nullptr, s); },
      [&] { cuda::finish({}, nullptr, 1, 1, 1, s); },
      [&] { cuda::gate(nullptr, 1, 1, 1, GateWeights::of_all, nullptr, nullptr, nullptr, s); },
      [&] { cuda::gather({}, nullptr, 1, nullptr, s); },
      [&] { cuda::linear(nullptr, {}, nullptr, 1, s); },
      [&] { cuda::linear_tiled(nullptr, {}, nullptr, 1, s); },
      [&] { cuda::mean_logits({}, {}, nullptr, 1, nullptr, s); },
      [&] { cuda::merge({}, {}, 1, 1, 1, s); },
      [&] { cuda::rms_norm(nullptr, nullptr, 0, nullptr, 1, 1, s); },
      [&] { cuda::rotary(nullptr, nullptr, nullptr, 1, 1, 2, s); },
      [&] { cuda::rotary_table(nullptr, 1, 2, 1, nullptr, nullptr, s); },
      [&] { cuda::scatter(nullptr, nullptr, 1, {}, s); },
      [&] { cuda::summarise({}, nullptr, nullptr, nullptr, 1, {}, s); },
      [&] { cuda::swiglu(nullptr, nullptr, 1, s); },
      [&] { cuda::upper_bounds({}, {}, nullptr, 1, nullptr, s); },
  };
  for (auto const& call : calls)
    EXPECT_THAT(call, ::testing::Throws<std::runtime_error>(::testing::Property(
                          &std::runtime_error::what, ::testing::AnyOf(::testing::HasSubstr("-DPIKV_CUDA=ON"), ::testing::HasSubstr("CudaStream")))));
}

}  // namespace
}  // namespace pikv::kernels
