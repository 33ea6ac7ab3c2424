// A job under policies that is saved and goes on: what they knew comes back, what they evicted stays away, and the tokens are those of the
// uninterrupted job on any number of ranks.
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "runtime/checkpoint/files.hpp"
#include "runtime/checkpoint/reader.hpp"
#include "runtime/checkpoint/verify.hpp"
#include "runtime/routing/routers.hpp"
#include "runtime/scheduling/selections.hpp"
#include "tests/runtime/engine/harness.hpp"
#include "tests/runtime/engine/saved_jobs.hpp"

namespace pikv::test {
namespace {

struct Policy {
  std::string name;
  runtime::GivenOptions given;
  bool evicts = false;
};

void PrintTo(Policy const& policy, std::ostream* out) { *out << policy.name; }

runtime::GivenOptions given(std::vector<std::pair<std::string, std::string>> const& options) {
  runtime::GivenOptions all;
  for (auto const& [name, value] : options) all[name] = {value, "--" + name + "=" + value};
  return all;
}

std::vector<Policy> policies() {
  std::vector<Policy> all;
  for (auto const& [name, entry] : runtime::schedulers())
    if (entry.make != nullptr && entry.kind != runtime::SchedulerKind::placement)
      all.push_back({std::string{name}, given({{"scheduler", std::string{name}}, {"keep", "0.4"}, {"pin-window", "16"}}), entry.kind == runtime::SchedulerKind::retention});
  for (auto const& [name, entry] : runtime::selections())
    all.push_back({std::string{name}, given({{"codec", std::string{name} + ":0.5"}, {"pin-window", "16"}}), true});
  all.push_back({"coded_selection", given({{"codec", "chunk_select:0.5+int8"}, {"pin-window", "16"}}), true});
  all.push_back({"redundancy", given({{"scheduler", "h2o"}, {"keep", "0.4"}, {"redundancy", "0.5"}, {"pin-window", "16"}}), true});
  all.push_back({"certified", given({{"attention", "certified"}, {"max-error", "0.3"}, {"pin-window", "16"}})});
  all.push_back({"read_pages", given({{"attention", "routed"}, {"read-pages", "8"}, {"pin-window", "16"}})});
  for (auto const& [name, entry] : runtime::routers())
    if (!entry.remembers)
      all.push_back({std::string{"router_"} + std::string{name},
                     given({{"attention", "routed"}, {"router", std::string{name}}, {"experts", "2"}, {"kv-experts", "8"}, {"pin-window", "16"}})});
  std::vector<std::string> names;
  for (Policy const& policy : all) names.push_back(policy.name);
  names = in_small_form_only(names, {"h2o", "quest", "coded_selection", "certified", "router_topk"});
  std::erase_if(all, [&](Policy const& policy) { return std::ranges::find(names, policy.name) == names.end(); });
  return all;
}

using Evicted = std::set<std::tuple<std::uint64_t, std::int32_t, std::int32_t>>;   // stream, page table, block

Evicted evicted_in(fs::path const& path) {
  Evicted evicted;
  runtime::CheckpointReader const checkpoint{path};
  for (runtime::SavedRequest const& request : checkpoint.requests())
    for (runtime::EvictedPage const& page : request.evicted) evicted.emplace(request.stream.lo, page.layer, page.block);
  return evicted;
}

class RestorePolicies : public ::testing::TestWithParam<Policy> {
 protected:
  runtime::GivenOptions job() {
    auto options = job_on(write_prompts(folder, 40), "2");
    options.insert(GetParam().given.begin(), GetParam().given.end());
    return options;
  }
  Folder folder;
};

TEST_P(RestorePolicies, GoOnAsIfNothingHadHappened) {
  ASSERT_EQ(run(options_with(job(), 2, folder / "whole.jsonl")), 0);
  auto const whole = tokens_in(folder / "whole.jsonl");
  ASSERT_EQ(run(options_with(saved_to(job(), folder / "saved", 30), 2, folder / "same.jsonl")), 0);
  EXPECT_EQ(tokens_in(folder / "same.jsonl"), whole) << "saving changed the result";
  auto const saved = runtime::checkpoints_in(folder / "saved");
  for (auto const& from : saved) {
    auto const gone = evicted_in(from);
    EXPECT_EQ(gone.empty(), !GetParam().evicts);
    EXPECT_TRUE(runtime::verify_checkpoint(runtime::CheckpointReader{from}).gaps.empty());
    for (int const ranks : small_form() ? std::vector{3} : std::vector{1, 3}) {
      fs::path const later = folder / ("later-" + std::to_string(ranks) + from.stem().string());
      ASSERT_EQ(run(options_with(saved_to({{"resume", {from.string(), ""}}}, later, 7), ranks, folder / "resumed.jsonl")), 0);
      EXPECT_EQ(tokens_in(folder / "resumed.jsonl"), whole) << "on " << ranks << " ranks from " << from;
      for (auto const& path : runtime::checkpoints_in(later)) {
        runtime::CheckpointReader const after{path};
        for (runtime::PageRow const& page : after.pages()) EXPECT_FALSE(gone.contains({page.stream_lo, page.layer, page.block})) << "an evicted page is back";
      }
    }
  }
}

TEST_P(RestorePolicies, GoOnFromACheckpointMadeBeforeAllOfTheFirstWasRead) {
  ASSERT_EQ(run(options_with(saved_to(job(), folder / "saved", 40), 2, folder / "whole.jsonl")), 0);
  auto const from = runtime::checkpoints_in(folder / "saved").back();
  auto const step = runtime::CheckpointReader{from}.facts().step;
  runtime::GivenOptions one_at_a_time{{"resume", {from.string(), ""}}, {"batch", {"1", ""}}};
  ASSERT_EQ(run(options_with(saved_to(one_at_a_time, folder / "second", static_cast<int>(step) + 2), 1, folder / "ignored.jsonl")), 0);
  auto const second = runtime::checkpoints_in(folder / "second").back();
  ASSERT_EQ(run(options_with({{"resume", {second.string(), ""}}, {"batch", {"4", ""}}}, 2, folder / "resumed.jsonl")), 0);
  EXPECT_EQ(tokens_in(folder / "resumed.jsonl"), tokens_in(folder / "whole.jsonl"));
}

INSTANTIATE_TEST_SUITE_P(Policies, RestorePolicies, ::testing::ValuesIn(policies()), [](auto const& i) { return i.param.name; });

}   // namespace
}   // namespace pikv::test
