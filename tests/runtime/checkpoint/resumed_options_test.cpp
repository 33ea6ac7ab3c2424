#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "runtime/checkpoint/resume.hpp"
#include "sample.hpp"
#include "tests/runtime/trace/scratch_folder.hpp"
#include "tests/runtime/trace/trace_cases.hpp"

namespace pikv::runtime {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// What the user gives now, besides --resume.
GenerateOptions now(std::vector<std::string> args) {
  args.insert(args.begin(), {"--resume", "ck"});
  return parse_generate_options(args);
}

CheckpointFacts saved_with(std::vector<std::string> const& args) {
  CheckpointFacts facts;
  facts.options = given_attributes(parse_generate_options(args).given);
  return facts;
}

GenerateOptions resumed(std::vector<std::string> const& before, std::vector<std::string> const& after) {
  return resumed_options(now(after), saved_with(before), "ck/step-000000000040.h5 (step 40)");
}
std::string error_of_resuming(std::vector<std::string> const& before, std::vector<std::string> const& after) {
  return test::error_of([&] { (void)resumed(before, after); });
}

struct Deciding {
  char const* option;
  char const* one;
  char const* other;
  std::vector<std::string> beside = {};   // what gives it an effect
};
std::vector<Deciding> const deciding{
    {"prompts", "a.jsonl", "b.jsonl"},
    {"prompt", "Once", "Twice"},
    {"prompt-format", "text", "jsonl", {"--prompts", "a"}},
    {"max-new-tokens", "9", "10"},
    {"temperature", "0.5", "0.75"},
    {"top-k", "3", "4", {"--temperature", "1"}},
    {"top-p", "0.5", "0.25", {"--temperature", "1"}},
    {"seed", "1", "2", {"--temperature", "1"}},
    {"page-tokens", "8", "16"},
    {"kv-dtype", "f32", "f16"},
    {"codec", "chunk_select:0.5", "int8"},
    {"codec-k", "int8", "int4"},
    {"codec-v", "int8", "int4"},
    {"exact-window", "64", "128", {"--codec", "int8"}},
    {"scheduler", "h2o", "tova"},
    {"keep", "0.5", "0.25", {"--scheduler", "h2o"}},
    {"redundancy", "0.5", "0.25", {"--scheduler", "h2o"}},
    {"pin-window", "16", "32", {"--scheduler", "h2o"}},
    {"router", "hash", "hierarchical", {"--attention", "routed", "--experts", "2"}},
    {"experts", "2", "3", {"--attention", "routed", "--read-pages", "8"}},
    {"read-pages", "8", "16", {"--attention", "routed", "--experts", "2"}},
};
/// Those that others need beside them.
std::set<std::string> const tried_together{"attention", "max-error", "cold-codec", "cold-after"};

TEST(ResumedOptions, OneThatDecidesTheResultIsRefusedByNameWhenItDiffersAndTakenWhenEqual) {
  for (Deciding const& row : deciding) {
    auto before = row.beside, after = row.beside;
    before.insert(before.end(), {std::string{"--"} + row.option, row.one});
    auto const flag = std::string{"--"} + row.option;
    EXPECT_TRUE(decides_the_result(row.option));
    EXPECT_EQ(error_of_resuming(before, {}), "no error") << flag;
    EXPECT_EQ(error_of_resuming(before, {flag, row.one}), "no error") << flag;
    EXPECT_THAT(error_of_resuming(before, {flag, row.other}),
                AllOf(StartsWith("InputError: " + flag + "=" + row.other), HasSubstr("which has " + std::string{row.one})))
        << flag;
    EXPECT_THAT(error_of_resuming(after, {flag, row.other}), StartsWith("InputError: " + flag)) << flag;
  }
}

TEST(ResumedOptions, EveryNameThatDecidesIsTried) {
  for (OptionSpec const& spec : generate_option_specs()) {
    bool const tried = std::ranges::find(deciding, spec.name, &Deciding::option) != deciding.end();
    if (!decides_the_result(spec.name)) continue;
    EXPECT_TRUE(tried || tried_together.contains(spec.name)) << spec.name;
  }
}

TEST(ResumedOptions, ThoseThatNeedEachOtherDecideTheResultToo) {
  std::vector<std::string> const certified{"--attention", "certified", "--max-error", "0.1"};
  EXPECT_EQ(error_of_resuming(certified, certified), "no error");
  EXPECT_THAT(error_of_resuming(certified, {"--max-error", "0.2"}), StartsWith("InputError: --max-error=0.2 would change"));
  EXPECT_THAT(error_of_resuming(certified, {"--attention", "exact"}), StartsWith("InputError: --attention=exact would change"));
  std::vector<std::string> const cooling{"--codec", "int8", "--cold-codec", "int4", "--cold-after", "512"};
  EXPECT_EQ(error_of_resuming(cooling, cooling), "no error");
  EXPECT_THAT(error_of_resuming(cooling, {"--cold-after", "256"}), StartsWith("InputError: --cold-after=256 would change"));
  EXPECT_THAT(error_of_resuming(cooling, {"--cold-codec", "int4/int8"}), StartsWith("InputError: --cold-codec=int4/int8 would change"));
  EXPECT_EQ(error_of_resuming({"--codec", "svd", "--calibration", "a.h5"}, {"--calibration", "moved.h5"}), "no error");   // pages tell whether it is another
}

TEST(ResumedOptions, HomesDecideTheResultWhereARouterGoesByThem) {
  EXPECT_EQ(error_of_resuming({"--home", "mod"}, {"--home", "content"}), "no error");
  std::vector<std::string> const routed{"--attention", "routed", "--experts", "2", "--home", "mod", "--kv-experts", "8"};
  EXPECT_EQ(error_of_resuming(routed, {"--home", "mod"}), "no error");
  EXPECT_THAT(error_of_resuming(routed, {"--home", "content"}), StartsWith("InputError: --home=content would change"));
  EXPECT_THAT(error_of_resuming(routed, {"--kv-experts", "16"}), StartsWith("InputError: --kv-experts=16 would change"));
}

TEST(ResumedOptions, ADefaultIsEqualToTheSameValueGiven) {
  EXPECT_EQ(error_of_resuming({}, {"--page-tokens", "32"}), "no error");
  EXPECT_EQ(error_of_resuming({"--temperature", "0"}, {}), "no error");
  EXPECT_THAT(error_of_resuming({}, {"--page-tokens", "8"}), HasSubstr("which has 32"));
}

TEST(ResumedOptions, ThoseOfTheCheckpointHold) {
  auto const options = resumed(
      {"--page-tokens", "8", "--batch", "3", "--output", "out", "--checkpoint", "ck", "--checkpoint-every", "7", "--temperature", "1", "--seed", "5"},
      {});
  EXPECT_EQ(options.page_tokens, 8);
  EXPECT_EQ(options.batch, 3);
  EXPECT_EQ(options.output, "out");
  EXPECT_EQ(options.checkpoint, "ck");
  EXPECT_EQ(options.checkpoint_every, 7);
  EXPECT_EQ(options.sampling.seed, 5u);
}

TEST(ResumedOptions, OthersMayBeGivenAnew) {
  auto const options = resumed({"--batch", "3", "--output", "out", "--kv-budget", "1GiB"},
                               {"--batch", "4", "--output", "other", "--kv-budget", "2GiB", "--transport", "mpi"});
  EXPECT_EQ(options.batch, 4);
  EXPECT_EQ(options.output, "other");
  EXPECT_EQ(options.kv_budget, std::uint64_t{2} << 30);
  EXPECT_EQ(options.transport, "mpi");
}

TEST(ResumedOptions, WhereAndHowTheJobRanIsNotTakenOver) {
  auto const options = resumed({"--in-process", "3",      "--schedule-seed", "7",  "--threads",     "3",     "--trace",      "t.h5",
                                "--report",     "r.json", "--deadline",      "3s", "--log-level",   "error", "--fault-plan", "p.json",
                                "--checkpoint", "ck",     "--time-limit",    "1h", "--time-margin", "5s"},
                               {});
  EXPECT_EQ(options.in_process, 0);
  EXPECT_EQ(options.schedule_seed, 1u);
  EXPECT_EQ(options.threads, 0);
  EXPECT_EQ(options.trace, "");
  EXPECT_EQ(options.report, "");
  EXPECT_EQ(options.deadline_s, 30);
  EXPECT_EQ(options.log_level, "info");
  EXPECT_EQ(options.fault_plan, "");
  EXPECT_EQ(options.time_limit_s, 0);
  EXPECT_EQ(options.time_margin_s, 60);
  EXPECT_EQ(options.resume, "ck");
}

TEST(ResumedOptions, OneWithoutEffectIsStillRefused) {
  EXPECT_THAT(error_of_resuming({}, {"--checkpoint-every", "3"}), HasSubstr("add --checkpoint DIR"));
  EXPECT_THAT(error_of_resuming({}, {"--logits", "l.h5"}), HasSubstr("--logits"));
}

/// A value of every option, and what gives it an effect beside it.
std::map<std::string, std::vector<std::string>> const with_every_option{
    {"model", {"m"}},
    {"prompts", {"p.jsonl"}},
    {"prompt-format", {"text", "--prompts", "p"}},
    {"prompt", {"Once"}},
    {"max-new-tokens", {"9"}},
    {"temperature", {"0.5"}},
    {"top-k", {"3", "--temperature", "1"}},
    {"top-p", {"0.5", "--temperature", "1"}},
    {"seed", {"1", "--arrivals", "10"}},
    {"batch", {"3"}},
    {"page-tokens", {"8"}},
    {"prefill-chunk", {"64"}},
    {"kv-dtype", {"f32"}},
    {"kv-budget", {"1GiB"}},
    {"attention", {"exact"}},
    {"home", {"mod"}},
    {"kv-experts", {"8"}},
    {"router", {"hash", "--attention", "routed", "--experts", "2"}},
    {"experts", {"2", "--attention", "routed"}},
    {"read-pages", {"8", "--attention", "routed"}},
    {"max-error", {"0.1", "--attention", "certified"}},
    {"scheduler", {"h2o"}},
    {"keep", {"0.5", "--scheduler", "h2o"}},
    {"redundancy", {"0.5", "--scheduler", "h2o"}},
    {"pin-window", {"16", "--scheduler", "h2o"}},
    {"codec", {"chunk_select:0.5+int8"}},
    {"codec-k", {"int8"}},
    {"codec-v", {"int8"}},
    {"calibration", {"c.h5", "--codec", "svd"}},
    {"exact-window", {"64", "--codec", "int8"}},
    {"cold-codec", {"int4", "--codec", "int8", "--cold-after", "512"}},
    {"cold-after", {"512", "--codec", "int8", "--cold-codec", "int4"}},
    {"store", {"sharded"}},
    {"move", {"page"}},
    {"transport", {"mpi"}},
    {"progress-thread", {"off"}},
    {"nccl", {"off"}},
    {"fault-plan", {"f.json"}},
    {"scrub", {"0"}},
    {"active-ranks", {"1"}},
    {"rank-plan", {"r.json"}},
    {"rebalance-steps", {"8"}},
    {"migration-bytes", {"1MiB"}},
    {"skew", {"1"}},
    {"arrivals", {"10"}},
    {"in-process", {"2"}},
    {"schedule-seed", {"3", "--in-process", "2"}},
    {"reproducible", {}},
    {"output", {"o.jsonl"}},
    {"logits", {"l.h5"}},
    {"trace", {"t.h5"}},
    {"trace-events", {"100", "--trace", "t.h5"}},
    {"report", {"r.json"}},
    {"checkpoint", {"ck"}},
    {"checkpoint-every", {"7", "--checkpoint", "ck"}},
    {"resume", {"old"}},
    {"time-limit", {"1h", "--checkpoint", "ck"}},
    {"time-margin", {"5s", "--time-limit", "1h", "--checkpoint", "ck"}},
    {"deadline", {"3s"}},
    {"config", {"CONFIG"}},
    {"threads", {"2"}},
    {"log-level", {"error"}},
};

struct AnyOption : ::testing::Test {
  AnyOption() { std::ofstream{config} << "# nothing\n"; }
  std::vector<std::string> given_with(std::string const& option) const {
    auto args = with_every_option.at(option);
    std::ranges::replace(args, "CONFIG", config);
    args.insert(args.begin(), "--" + option);
    return args;
  }
  test::ScratchFolder folder;
  std::string config = folder / "pikv.ini";
};

/// What no job that is saved is given: a checkpoint does not hold tiers, nor the exact copy.
bool excludes_checkpoints(std::string const& option) {
  static std::set<std::string> const names{"fidelity", "tier-host", "tier-dir"};
  return names.contains(option);
}

TEST_F(AnyOption, ThatAJobWasGivenMayBeLeftOutWhenItGoesOn) {
  for (OptionSpec const& spec : generate_option_specs()) {
    if (excludes_checkpoints(spec.name)) continue;
    ASSERT_TRUE(with_every_option.contains(spec.name)) << spec.name;
    EXPECT_EQ(error_of_resuming(given_with(spec.name), {}), "no error") << spec.name;
  }
}

TEST_F(AnyOption, ThatAJobWasGivenMayBeGivenAgainWhenItGoesOn) {
  for (OptionSpec const& spec : generate_option_specs()) {
    if (spec.name == "resume" || spec.name == "logits" || excludes_checkpoints(spec.name)) continue;   // what a job that goes on is not given
    EXPECT_EQ(error_of_resuming(given_with(spec.name), given_with(spec.name)), "no error") << spec.name;
  }
}

TEST(ResumedOptions, PagesThatWereSpreadMayStayAtTheirHomes) {
  std::vector<std::string> const spread{"--home", "mod", "--kv-experts", "8", "--move", "page", "--rebalance-steps", "8", "--migration-bytes", "1MiB",
                                        "--skew", "1"};
  auto const options = resumed(spread, {"--store", "local"});
  EXPECT_EQ(options.store, StoreMode::local);
  EXPECT_EQ(options.skew, 0);
  EXPECT_EQ(options.migration_bytes, 0u);
  EXPECT_THAT(error_of_resuming(spread, {"--store", "local", "--kv-experts", "8"}), StartsWith("InputError: --kv-experts=8 has no effect"));
}

TEST(ResumedOptions, ArrivalsAreThoseOfTheCheckpoint) {
  EXPECT_EQ(resumed({"--arrivals", "10", "--seed", "5"}, {"--seed", "5"}).sampling.seed, 5u);
  EXPECT_THAT(error_of_resuming({}, {"--arrivals", "10"}),
              AllOf(StartsWith("InputError: --arrivals=10 has no effect"), HasSubstr("ck/step-000000000040.h5")));
  EXPECT_THAT(error_of_resuming({"--arrivals", "10"}, {"--arrivals", "20"}), StartsWith("InputError: --arrivals=20 has no effect"));
}

TEST(ResumedOptions, ACheckpointWhoseOptionsAreNoneIsRefusedByName) {
  CheckpointFacts facts;
  facts.options = {{"page-tokens", std::string{"24"}}};
  EXPECT_THAT(test::error_of([&] { (void)resumed_options(now({}), facts, "x.h5"); }), HasSubstr("page-tokens=24 in x.h5"));
}

}   // namespace
}   // namespace pikv::runtime
