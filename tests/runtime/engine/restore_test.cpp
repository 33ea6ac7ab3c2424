// A job that is saved on N ranks and goes on with M: the tokens of the uninterrupted job, and the stored pages bit by bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "runtime/checkpoint/files.hpp"
#include "runtime/checkpoint/reader.hpp"
#include "runtime/checkpoint/verify.hpp"
#include "tests/runtime/engine/harness.hpp"
#include "tests/runtime/engine/saved_jobs.hpp"

namespace pikv::test {
namespace {

constexpr int most_ranks = 6, saved_step = 12;

/// Payload and checksums of every full page, by key; open pages go on being filled.
using Pages = std::map<std::tuple<std::uint64_t, std::uint64_t, std::int32_t, std::int32_t>, std::vector<std::byte>>;

Pages full_pages(fs::path const& path, std::int32_t page_tokens) {
  runtime::CheckpointReader const checkpoint{path};
  Pages pages;
  std::vector<std::byte> payload(checkpoint.facts().payload_bytes);
  for (std::size_t row = 0; row < checkpoint.pages().size(); ++row) {
    runtime::PageRow const& page = checkpoint.pages()[row];
    EXPECT_EQ(checkpoint.verdict(row, payload), shards::Verdict::good);
    if (page.tokens < page_tokens) continue;
    bool const first = pages.emplace(std::tuple{page.stream_hi, page.stream_lo, page.layer, page.block}, payload).second;
    EXPECT_TRUE(first) << "a page is there twice";
  }
  return pages;
}

class Restore : public ::testing::TestWithParam<int> {};   // ranks that save

TEST_P(Restore, GoesOnOnAnyNumberOfRanksAsIfNothingHadHappened) {
  Folder const folder;
  auto const prompts = write_prompts(folder);
  auto const job = job_on(prompts, "2");
  ASSERT_EQ(run(options_with(job, GetParam(), folder / "whole.jsonl")), 0);
  auto const whole = tokens_in(folder / "whole.jsonl");
  ASSERT_EQ(whole.size(), 7u);

  ASSERT_EQ(run(options_with(saved_to(job, folder / "saved", saved_step), GetParam(), folder / "same.jsonl")), 0);
  EXPECT_EQ(tokens_in(folder / "same.jsonl"), whole) << "saving changed the result";
  auto const from = runtime::checkpoints_in(folder / "saved").back();   // the older of the two that are kept
  auto const before = full_pages(from, 8);
  std::size_t pages_compared = 0;
  for (int ranks = 1; ranks <= (small_form() ? 2 : most_ranks); ++ranks) {
    fs::path const later = folder / ("later-" + std::to_string(ranks));
    runtime::GivenOptions resumed{{"resume", {from.string(), ""}}};
    resumed = saved_to(resumed, later, 10);
    ASSERT_EQ(run(options_with(resumed, ranks, folder / "resumed.jsonl")), 0) << GetParam() << " -> " << ranks;
    EXPECT_EQ(tokens_in(folder / "resumed.jsonl"), whole) << GetParam() << " -> " << ranks;
    for (auto const& path : runtime::checkpoints_in(later)) {
      auto const after = full_pages(path, 8);
      for (auto const& [key, payload] : before)
        if (auto const found = after.find(key); found != after.end()) {
          EXPECT_EQ(found->second, payload) << "a page changed on its way from " << GetParam() << " to " << ranks << " ranks";
          ++pages_compared;
        }
    }
  }
  EXPECT_GT(pages_compared, 0u);
  std::printf("%zu stored pages compared bit by bit\n", pages_compared);
}

INSTANTIATE_TEST_SUITE_P(Ranks, Restore, ::testing::Range(1, small_form() ? 3 : most_ranks + 1));

TEST(RestoreOnce, CodedPagesGoOnAsTheyWereStoredOnAnotherNumberOfRanks) {
  Folder const folder;
  auto job = job_on(write_prompts(folder), "2");
  job["codec"] = {"int4", ""};
  job["exact-window"] = {"16", ""};
  ASSERT_EQ(run(options_with(job, 3, folder / "whole.jsonl")), 0);
  ASSERT_EQ(run(options_with(saved_to(job, folder / "saved", saved_step), 3, folder / "same.jsonl")), 0);
  EXPECT_EQ(tokens_in(folder / "same.jsonl"), tokens_in(folder / "whole.jsonl"));
  auto const from = runtime::checkpoints_in(folder / "saved").back();
  runtime::CheckpointReader const checkpoint{from};
  EXPECT_GT(std::ranges::count_if(checkpoint.pages(), [&](runtime::PageRow const& page) { return page.bytes < checkpoint.facts().payload_bytes / 2; }), 0);
  (void)full_pages(from, 8);
  for (int const ranks : {1, 2, 4}) {
    ASSERT_EQ(run(options_with({{"resume", {from.string(), ""}}}, ranks, folder / "on.jsonl")), 0) << ranks;
    EXPECT_EQ(tokens_in(folder / "on.jsonl"), tokens_in(folder / "whole.jsonl")) << ranks;
  }
}

TEST(RestoreOnce, ABudgetThatHoldsAPartOfTheRequestsLetsTheOthersWaitInTheirCheckpoint) {
  Folder const folder;
  auto const job = job_on(write_prompts(folder), "4");
  ASSERT_EQ(run(options_with(saved_to(job, folder / "saved", saved_step), 3, folder / "whole.jsonl")), 0);
  auto const from = runtime::checkpoints_in(folder / "saved").back();
  // One at a time on one rank; and saved again while the others' pages are still only in the first checkpoint.
  runtime::GivenOptions resumed{{"resume", {from.string(), ""}}, {"batch", {"1", ""}}};
  ASSERT_EQ(run(options_with(saved_to(resumed, folder / "second", 2), 1, folder / "resumed.jsonl")), 0);
  EXPECT_EQ(tokens_in(folder / "resumed.jsonl"), tokens_in(folder / "whole.jsonl"));
}

TEST(RestoreOnce, FromASecondCheckpointMadeBeforeAllPagesOfTheFirstWereRead) {
  Folder const folder;
  auto const job = job_on(write_prompts(folder), "4");
  ASSERT_EQ(run(options_with(saved_to(job, folder / "saved", saved_step), 3, folder / "whole.jsonl")), 0);
  auto const from = runtime::checkpoints_in(folder / "saved").back();
  auto const step = runtime::CheckpointReader{from}.facts().step;
  runtime::GivenOptions resumed{{"resume", {from.string(), ""}}, {"batch", {"1", ""}}};
  ASSERT_EQ(run(options_with(saved_to(resumed, folder / "second", static_cast<int>(step) + 3), 2, folder / "ignored.jsonl")), 0);
  auto const second = runtime::checkpoints_in(folder / "second").back();
  auto const before = full_pages(from, 8), after = full_pages(second, 8);
  std::size_t running_in_both = 0;
  for (auto const& [key, payload] : before)
    if (after.contains(key)) {
      EXPECT_EQ(after.at(key), payload);
      ++running_in_both;
    }
  EXPECT_GT(running_in_both, 0u);
  ASSERT_EQ(run(options_with({{"resume", {second.string(), ""}}, {"batch", {"4", ""}}}, 2, folder / "resumed.jsonl")), 0);
  EXPECT_EQ(tokens_in(folder / "resumed.jsonl"), tokens_in(folder / "whole.jsonl"));
}

TEST(RestoreOnce, FromTheOlderOneAfterTheNewerWasDamagedWhichIsThenGone) {
  Folder const folder;
  auto const job = job_on(write_prompts(folder), "2");
  ASSERT_EQ(run(options_with(saved_to(job, folder / "saved", saved_step), 2, folder / "whole.jsonl")), 0);
  auto const found = runtime::checkpoints_in(folder / "saved");
  ASSERT_EQ(found.size(), 2u);
  auto const step = runtime::CheckpointReader{found.back()}.facts().step;
  fs::resize_file(found.front(), 4096);
  auto const again = saved_to({{"resume", {found.back().string(), ""}}}, folder / "saved", static_cast<int>(step) + 1);   // once
  ASSERT_EQ(run(options_with(again, 2, folder / "ignored.jsonl")), 0);
  EXPECT_FALSE(fs::exists(found.front()));
  ASSERT_EQ(run(options_with({{"resume", {(folder / "saved").string(), ""}}}, 1, folder / "resumed.jsonl")), 0);
  EXPECT_EQ(tokens_in(folder / "resumed.jsonl"), tokens_in(folder / "whole.jsonl"));
}

/// A rank plan in a file: ranks that stop (drain) and begin (join) to store pages.
fs::path write_plan(Folder const& folder, std::string const& name, std::vector<std::tuple<int, std::string, int>> const& changes) {
  auto json = nlohmann::json::array();
  for (auto const& [step, action, rank] : changes) json.push_back({{"step", step}, {"action", action}, {"rank", rank}});
  std::ofstream{folder / name} << json.dump();
  return folder / name;
}

int pages_moved_in(fs::path const& report) {
  std::ifstream in{report};
  return nlohmann::json::parse(in)["migration"]["pages_moved"].get<int>();
}

/// Pages of others that a rank held for them.
std::size_t stored_by(fs::path const& path, std::int32_t rank) {
  runtime::CheckpointReader const checkpoint{path};
  return static_cast<std::size_t>(std::ranges::count_if(checkpoint.pages(), [&](runtime::PageRow const& page) { return page.indexed != 0 && page.rank == rank; }));
}

/// Jobs that go on from `from`: each ends with `whole`, and the pages of its own checkpoints that are in `from` too are these, bit by bit.
class GoesOn {
 public:
  GoesOn(Folder const& folder, fs::path from, Tokens const& whole) : folder_{folder}, from_{std::move(from)}, whole_{whole}, before_{full_pages(from_, 8)} {
    EXPECT_TRUE(runtime::verify_checkpoint(runtime::CheckpointReader{from_}).gaps.empty()) << "pages that move are missing";
  }

  void on(int ranks, int next_save, runtime::GivenOptions given) {
    SCOPED_TRACE(from_.filename().string() + " on " + std::to_string(ranks) + " ranks");
    fs::path const later = folder_ / "later";
    fs::remove_all(later);
    given["resume"] = {from_.string(), ""};
    given["report"] = {(folder_ / "resumed.json").string(), ""};
    ASSERT_EQ(run(options_with(saved_to(given, later, next_save), ranks, folder_ / "resumed.jsonl")), 0);
    EXPECT_EQ(tokens_in(folder_ / "resumed.jsonl"), whole_);
    moved += pages_moved_in(folder_ / "resumed.json");
    auto const saved = runtime::checkpoints_in(later);
    ASSERT_FALSE(saved.empty());
    for (auto const& path : saved)
      for (auto const& [key, payload] : full_pages(path, 8))
        if (auto const found = before_.find(key); found != before_.end()) {
          EXPECT_EQ(found->second, payload);
          ++compared;
        }
  }

  std::size_t compared = 0;
  int moved = 0;

 private:
  Folder const& folder_;
  fs::path from_;
  Tokens const& whole_;
  Pages before_;
};

TEST(RestoreWhilePagesMove, FromTheMiddleOfADrainAndOfAJoinWithAnotherRankPlanAndWithoutOne) {
  Folder const folder;
  auto job = job_on(write_prompts(folder, 60), "3");
  ASSERT_EQ(run(options_with(job, 4, folder / "whole.jsonl")), 0);
  auto const whole = tokens_in(folder / "whole.jsonl");
  job["rank-plan"] = {write_plan(folder, "plan.json", {{70, "drain", 2}, {90, "join", 2}}).string(), ""};
  job["migration-bytes"] = {"5KiB", ""};   // one page
  std::size_t compared = 0;
  int moved = 0;
  std::vector<std::size_t> joining;
  for (int const step : small_form() ? std::vector{76, 93, 100} : std::vector{73, 76, 82, 88, 93, 97, 100}) {
    fs::path const folder_of_step = folder / ("saved-" + std::to_string(step));
    ASSERT_EQ(run(options_with(saved_to(job, folder_of_step, step), 4, folder / "moved.jsonl")), 0);
    EXPECT_EQ(tokens_in(folder / "moved.jsonl"), whole) << "saving in step " << step << " changed the result";
    auto const saved = runtime::checkpoints_in(folder_of_step);
    ASSERT_EQ(saved.size(), 1u);
    if (step < 90) EXPECT_GT(stored_by(saved[0], 2), 0u) << "all had left before step " << step;
    else joining.push_back(stored_by(saved[0], 2));

    GoesOn job_later{folder, saved[0], whole};
    auto const changes = [&](std::vector<std::tuple<int, std::string, int>> const& next) -> runtime::GivenOptions {
      return {{"rank-plan", {write_plan(folder, "next.json", next).string(), ""}}, {"migration-bytes", {"10KiB", ""}}};
    };
    for (int const ranks : {1, 2, 4, 5}) job_later.on(ranks, step + 6, {});
    job_later.on(3, step + 6, changes({{step + 2, "drain", 0}, {step + 20, "join", 0}}));
    job_later.on(4, step + 6, changes({{step + 1, "drain", 2}}));
    auto fewer = changes({{step + 3, "join", 2}, {step + 12, "drain", 1}});
    fewer["active-ranks"] = {"2", ""};
    job_later.on(3, step + 6, fewer);
    compared += job_later.compared;
    moved += job_later.moved;
  }
  EXPECT_FALSE(std::ranges::equal(joining, std::vector(joining.size(), joining[0]))) << "pages came to rank 2 in none of the steps saved";
  EXPECT_GT(moved, 50);
  EXPECT_GT(compared, 1000u);
  std::printf("%zu stored pages compared bit by bit, %d moved after the restores\n", compared, moved);
}

TEST(RestoreWhilePagesMove, AwayFromRanksThatBearMore) {
  Folder const folder;
  auto job = job_on(write_prompts(folder, 60), "3");
  job["skew"] = {"1.5", ""};
  job["rebalance-steps"] = {"0", ""};
  ASSERT_EQ(run(options_with(job, 4, folder / "whole.jsonl")), 0);
  auto const whole = tokens_in(folder / "whole.jsonl");
  job["rebalance-steps"] = {"60", ""};
  job["migration-bytes"] = {"5KiB", ""};
  job["report"] = {(folder / "report.json").string(), ""};
  std::size_t compared = 0;
  int moved = 0;
  for (int const step : small_form() ? std::vector{78} : std::vector{64, 70, 78, 86}) {
    fs::path const folder_of_step = folder / ("saved-" + std::to_string(step));
    ASSERT_EQ(run(options_with(saved_to(job, folder_of_step, step), 4, folder / "moved.jsonl")), 0);
    EXPECT_EQ(tokens_in(folder / "moved.jsonl"), whole);
    EXPECT_GT(pages_moved_in(folder / "report.json"), 4 * (step - 62)) << "one page a rank and step, so they were still moving";
    auto const from = runtime::checkpoints_in(folder_of_step).back();
    GoesOn job_later{folder, from, whole};
    for (int const ranks : {2, 3, 4, 6}) job_later.on(ranks, step + 20, {{"rebalance-steps", {"16", ""}}, {"migration-bytes", {"10KiB", ""}}});
    compared += job_later.compared;
    moved += job_later.moved;
  }
  EXPECT_GT(moved, 50);
  EXPECT_GT(compared, 500u);
  std::printf("%zu stored pages compared bit by bit, %d moved after the restores\n", compared, moved);
}

}   // namespace
}   // namespace pikv::test
