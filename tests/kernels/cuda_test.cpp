#include <gmock/gmock.h>

#include "kernels/attend.hpp"
#include "kernels/merge.hpp"

namespace pikv::kernels {
namespace {

TEST(CudaKernels, SayWhatToDoWhereTheyCannotRun) {   // not built, or handed a host stream: a sentence, never a crash
  Stream host_stream;
  auto const says_rebuild_or_stream = ::testing::Throws<std::runtime_error>(
      ::testing::Property(&std::runtime_error::what, ::testing::AnyOf(::testing::HasSubstr("-DPIKV_CUDA=ON"), ::testing::HasSubstr("CudaStream"))));
  EXPECT_THAT([&] { cuda::merge({}, {}, 1, 1, 1, host_stream); }, says_rebuild_or_stream);
  EXPECT_THAT([&] { cuda::attend({}, {}, nullptr, 1, 1, {}, nullptr, host_stream); }, says_rebuild_or_stream);
}

}  // namespace
}  // namespace pikv::kernels
