#include "operations.hpp"
#include "partials.hpp"

namespace pikv::kernels {
namespace {

using FinishCases = OperationCases;

TEST_P(FinishCases, EqualsReferenceAtAnyShape) {
  for (auto const& [rows, heads, d] : partial_shapes) {
    Partial part = part_of(rows, heads, d, 1);
    if (rows > 1) part.denom[1] = 0;   // its columns give 0, whatever they hold
    std::vector<float> wanted(part.sum.size());
    reference::finish(part.view(), wanted.data(), rows, heads, d);
    auto const sum = hold(part.sum), max = hold(part.max), denom = hold(part.denom);
    Held<float> const out{on(), wanted.size()};
    on().finish({sum.data(), max.data(), denom.data()}, out.data(), rows, heads, d, stream());
    expect_near(out.values(), wanted, 1e-6f);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, FinishCases, ::testing::ValuesIn(backends()));

}  // namespace
}  // namespace pikv::kernels
