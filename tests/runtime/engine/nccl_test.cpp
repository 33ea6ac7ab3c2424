#include <gtest/gtest.h>

#include <array>

#include "comm/inprocess_world.hpp"
#include "comm/nccl_world.hpp"
#include "tests/comm/nccl_stand_in.hpp"
#include "tests/runtime/engine/agreement.hpp"
#include "tests/runtime/engine/harness.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {
namespace {

// The exchanges of a job over NCCL's stand-in: pages go as ever.
TEST(EngineOverNccl, DecodesTheTokensOfOneRank) {
  auto const requests = reference_prompts({"text-257", "text-1", "text-33", "text-17", "sample-1"}, 8);
  auto const options = options_for(embedded_folder() / "tiny-moe", 3);
  Decoded const right = decode(options_for(embedded_folder() / "tiny-moe", 1), requests, {.logits = true});

  comm::test::NcclStandIn stand_in{3, {}, 1, comm::test::NcclStandIn::Pace::at_once};
  std::array<Decoded, 3> parts;
  comm::run_inprocess({.ranks = 3}, [&](comm::World& world) {
    auto const nccl = comm::make_nccl_world(world, stand_in.device(world.rank()));
    parts[static_cast<std::size_t>(world.rank())] = decode_on(*nccl, options, requests);
  });
  Decoded all;
  for (Decoded& part : parts) all.results.merge(part.results);
  std::size_t const equal = expect_same_tokens(right, all, 1e-3);
  EXPECT_GE(equal, requests.size() * 4) << "hardly anything was compared";
  for (comm::Rank rank = 0; rank < 3; ++rank) EXPECT_GT(stand_in.groups(rank), 100) << "its exchanges went another way";
  EXPECT_EQ(stand_in.in_use(), 0u);
}

}  // namespace
}  // namespace pikv::test
