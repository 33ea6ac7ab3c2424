#include "runtime/coordinator/rank_plan.hpp"

#include <gtest/gtest.h>

#include "comm/error.hpp"

namespace pikv::runtime {
namespace {

using Storing = std::vector<bool>;

std::string refusal(std::string const& text, int ranks = 3, int active = 3) {
  RankPlan plan{ranks, active};
  try {
    plan.read(text, "--rank-plan=plan.json");
  } catch (InputError const& error) {
    return error.what();
  }
  return "";
}

TEST(RankPlan, SaysWhoStoresInEachStep) {
  RankPlan plan{4, 3};
  EXPECT_TRUE(plan.constant());
  plan.read(R"([{"step": 10, "action": "join", "rank": 3}, {"step": 10, "action": "drain", "rank": 0}, {"step": 20, "action": "drain", "rank": 1}])", "p");
  EXPECT_EQ(plan.storing(0), (Storing{true, true, true, false}));
  EXPECT_EQ(plan.storing(9), (Storing{true, true, true, false}));
  EXPECT_EQ(plan.storing(10), (Storing{false, true, true, true}));
  EXPECT_EQ(plan.storing(1000), (Storing{false, false, true, true}));
  EXPECT_EQ(plan.least_storing(), 2);
  EXPECT_FALSE(plan.constant());
}

TEST(RankPlan, ABadFileIsRefusedInOneSentence) {
  std::pair<char const*, char const*> const bad[] = {
      {"", "no JSON list"},
      {"{}", "no JSON list"},
      {"[1]", "entry 1"},
      {R"([{"step": 1, "rank": 0}])", "drain or join"},
      {R"([{"step": 1, "action": "stop", "rank": 0}])", "drain or join"},
      {R"([{"action": "drain", "rank": 0}])", "\"step\""},
      {R"([{"step": -1, "action": "drain", "rank": 0}])", "\"step\""},
      {R"([{"step": 1.5, "action": "drain", "rank": 0}])", "\"step\""},
      {R"([{"step": 1, "action": "drain", "rank": 3}])", "has 3 ranks"},
      {R"([{"step": 1, "action": "drain"}])", "\"rank\""},
      {R"([{"step": 1, "action": "join", "rank": 0}])", "stores pages already"},
      {R"([{"step": 1, "action": "drain", "rank": 0}, {"step": 2, "action": "drain", "rank": 0}])", "entry 2"},
      {R"([{"step": 5, "action": "drain", "rank": 0}, {"step": 2, "action": "join", "rank": 0}])", "in order"},
      {R"([{"step": 1, "action": "drain", "rank": 0, "why": "?"}])", "\"why\""},
      {R"([{"step": 1, "action": "drain", "rank": 0}, {"step": 1, "action": "drain", "rank": 1}, {"step": 1, "action": "drain", "rank": 2}])", "last rank"},
  };
  for (auto const& [text, says] : bad) {
    std::string const said = refusal(text);
    EXPECT_NE(said.find(says), std::string::npos) << text << ": " << said;
    EXPECT_NE(said.find("--rank-plan=plan.json"), std::string::npos) << said;
    EXPECT_EQ(said.find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace pikv::runtime
