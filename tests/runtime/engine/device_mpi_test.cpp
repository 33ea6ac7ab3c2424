// A whole engine on devices in processes of their own, over UCX: payloads are staged through pinned host memory, by its progress thread too.
#include <gtest/gtest.h>

#include "comm/transports.hpp"
#include "mpi_test_main.hpp"
#include "tests/device_under_test.hpp"
#include "tests/runtime/engine/agreement.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {
namespace {

using shards::Move;

class OnDeviceOverUcx : public ::testing::TestWithParam<Move> {
 protected:
  void TearDown() override { mpi.barrier(mpi.in(60)); }   // a stuck rank stalls its own test, not the next
  comm::World& mpi = comm::test::mpi_world();
  std::unique_ptr<comm::World> world = comm::transports().at("ucx").make({.progress = {}, .device = &device_memory()});
};

TEST_P(OnDeviceOverUcx, AModelGivesTheHostsTokensAndLogits) {
  auto const folder = data_folder() / "odd-mixtral";
  auto const ids = ReferenceData{folder / "reference.safetensors"}.ints("ids");
  std::vector<runtime::Request> requests;
  for (std::int64_t index = 0; index < world->size(); ++index) requests.push_back({.index = index, .prompt = {ids.begin(), ids.begin() + 25}, .max_new_tokens = 12});
  auto options = options_for(folder, world->size());
  options.page_tokens = 8;
  options.prefill_chunk = 13;
  options.move = GetParam();
  auto const right = decode_on(*world, options, requests, {.logits = true});
  auto const run = decode_on(*world, options, requests, {.logits = true, .device = kernels::cuda::make_device});
  EXPECT_EQ(expect_same_tokens(right, run, 1e-3), 12u);
  ASSERT_EQ(run.logits.size(), right.logits.size());
  for (auto const& [place, row] : right.logits) EXPECT_LT(row_error(run.logits.at(place), row), 1e-3);
  EXPECT_EQ(run.counts.pages_remote, right.counts.pages_remote);
  EXPECT_EQ(run.counts.pages_fetched, right.counts.pages_fetched);
  EXPECT_EQ(run.counts.rewinds, 0u);
}

INSTANTIATE_TEST_SUITE_P(Moves, OnDeviceOverUcx, ::testing::Values(Move::query, Move::page));

}  // namespace
}  // namespace pikv::test
