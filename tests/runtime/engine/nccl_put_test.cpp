// Pages put over NCCL's stand-in into devices (device_under_test.hpp) of other ranks.
#include <gtest/gtest.h>

#include <array>

#include "comm/inprocess_world.hpp"
#include "comm/nccl_put_world.hpp"
#include "tests/comm/nccl_stand_in.hpp"
#include "tests/comm/patient_world.hpp"
#include "tests/device_under_test.hpp"
#include "tests/runtime/engine/agreement.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {
namespace {

class EngineWithPutsOverNccl : public ::testing::TestWithParam<int> {};

TEST_P(EngineWithPutsOverNccl, DecodesTheTokensOfTheTransportBelow) {
  int const team = GetParam();
  auto const ids = ReferenceData{data_folder() / "odd-mixtral" / "reference.safetensors"}.ints("ids");
  std::vector<runtime::Request> requests;
  for (std::int64_t index = 0; index < 3; ++index) requests.push_back({.index = index, .prompt = {ids.begin(), ids.begin() + 25}, .max_new_tokens = 12});
  auto options = options_for(data_folder() / "odd-mixtral", 3);
  options.page_tokens = 8;
  options.prefill_chunk = 13;
  Watch const watch{.logits = true, .memory = &device_memory(), .device = kernels::cuda::make_device};
  Decoded const right = decode(options, requests, watch);

  comm::test::NcclStandIn stand_in{3, {}, 1, comm::test::NcclStandIn::Pace::at_once, {&device_memory(), team}};
  std::array<Decoded, 3> parts;
  comm::run_inprocess({.ranks = 3, .device = &device_memory()}, [&](comm::World& inner) {
    comm::test::PatientWorld patient{inner};
    auto const world = comm::make_nccl_put_world(patient, stand_in.device(inner.rank()));
    parts[static_cast<std::size_t>(inner.rank())] = decode_on(*world, options, requests, watch);
  });
  Decoded all;
  shards::Counts counts;
  for (Decoded& part : parts) {
    all.results.merge(part.results);
    all.logits.merge(part.logits);
    counts.pages_remote += part.counts.pages_remote;
  }
  EXPECT_EQ(expect_same_tokens(right, all, 1e-3), 36u);
  EXPECT_EQ(all.logits, right.logits) << "the same bits, whatever has carried them";
  EXPECT_EQ(counts.pages_remote, right.counts.pages_remote);
  for (comm::Rank rank = 0; rank < 3; ++rank) EXPECT_EQ(stand_in.copies(rank) > 0, team == 3 || rank < 2) << rank;
  EXPECT_EQ(stand_in.in_use(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Teams, EngineWithPutsOverNccl, ::testing::Values(3, 2));

}  // namespace
}  // namespace pikv::test
