#include <gtest/gtest.h>

#include "backend.hpp"
#include "coded_checks.hpp"

namespace pikv::kernels {
namespace {

/// What is true of every backend; coded_test.cpp holds what is true of the host's alone, on each of its targets.
class CodedCases : public ::testing::TestWithParam<std::tuple<Backend const*, CodedCase>> {
 protected:
  void SetUp() override { PIKV_SKIP_WITHOUT(backend()); }
  Backend const* backend() const { return std::get<0>(GetParam()); }
  CodedCase const& shape() const { return std::get<1>(GetParam()); }
};

TEST_P(CodedCases, AttentionIsThatOnRebuiltPages) {
  auto const plain = problem_of(shape());
  std::size_t const d = plain.layout.head_dim;
  for (Codec const& codec : codecs_of(shape())) {
    SCOPED_TRACE(codec.text());
    CodedProblem p{plain, codec, codec};
    p.encode_all(reference::encode_page, reference::decode_page);
    std::vector<float> wanted_lse, lse;
    Partial const wanted = attend_by_reference(p.rebuilt, &wanted_lse), got = backend()->attend_coded(p, &lse);
    double const close = codec.element == Element::int8 || codec.element == Element::int4 ? 6e-4 : 3e-5;
    EXPECT_LE(largest_difference(quotients(got, d), quotients(wanted, d)), close);
    EXPECT_LE(largest_difference(got.max, wanted.max), close);
    EXPECT_LE(largest_difference(got.denom, wanted.denom), 1e-3);
    EXPECT_LE(largest_difference(lse, wanted_lse), close);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CodedCases,
                         ::testing::Combine(::testing::ValuesIn(backends()),
                                            ::testing::Values(CodedCase{DType::bf16, 64, 1, 4, 32}, CodedCase{DType::f32, 10, 2, 3, 8},
                                                              CodedCase{DType::bf16, 80, 2, 2, 64}, CodedCase{DType::f16, 128, 1, 1, 16})));

}  // namespace
}  // namespace pikv::kernels
