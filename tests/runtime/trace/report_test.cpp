#include "runtime/report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "runtime/latency.hpp"
#include "runtime/summary.hpp"

namespace pikv::runtime {
namespace {

using Json = nlohmann::ordered_json;

/// Three requests on two ranks; every expected number below was worked out by hand from these.
struct ReportTest : ::testing::Test {
  ReportTest() {
    model.architecture = "MixtralForCausalLM";
    model.layers = 3;
    model.kv_heads = 2;
    model.head_dim = 8;
    model.experts = 4;

    summary.ranks = 2;
    summary.hosts = 1;
    summary.seconds = 2;
    summary.steps = 9;
    summary.totals = {.tokens_appended = 40,
                      .cells_evicted = 0,
                      .pages_sealed = 12,
                      .pages_remote = 6,
                      .checked = 30,
                      .scrubbed = 9,
                      .corrupt = 1,
                      .stale = 2,
                      .timeout = 3,
                      .refetched = 4,
                      .rewinds = 5,
                      .page_reads = 8,
                      .hits = 6,
                      .exchanges = 117,
                      .messages = 200,
                      .bytes = {1000, 2000, 3000, 4000, 500, 600, 70},
                      .bytes_by_locality = {900, 11170, 0},
                      .stage_s = {1, 0.5, 0, 0.25, 0, 2, 0.25}};
    summary.by_rank = {{.bytes = {1000, 256, 64, 100, 50, 9000}, .tokens_resident = 20, .peak = 1500},
                       {.bytes = {2000, 512, 64, 200, 0, 8000}, .tokens_resident = 15, .peak = 2800}};
    summary.memory = {.bytes = {3000, 768, 128, 300, 50, 17000}, .tokens_resident = 35, .peak = 4300, .message_buffers = 12345};

    add_result(10, {1, 2, 3}, Finish::eos, 0, 0.5, 1.5);
    add_result(20, {4}, Finish::length, 0.25, 0.5, 0.5);
    add_result(5, {}, Finish::error, 0, 0, 0);
  }

  void add_result(std::int32_t prompt_tokens, std::vector<std::int32_t> tokens, Finish finish, double arrival, double first_token,
                  double end) {
    Result& result = results.emplace_back();
    result.prompt_tokens = prompt_tokens;
    result.tokens = std::move(tokens);
    result.finish = finish;
    result.arrival = arrival;
    result.first_token = first_token;
    result.end = end;
  }

  Json report() const {
    return make_report({.version = "0.1.0",
                        .command = "pikv generate",
                        .summary = summary,
                        .results = results,
                        .model = model,
                        .parameters = 999,
                        .codec = "none",
                        .codec_stated_ratio = 1});
  }

  ModelConfig model;
  RunSummary summary;
  std::vector<Result> results;
};

std::set<std::string> keys(Json const& object) {
  std::set<std::string> names;
  for (auto const& [key, value] : object.items()) names.insert(key);
  return names;
}

TEST_F(ReportTest, CountsRequestsAndTokens) {
  Json const r = report();
  EXPECT_EQ(r["requests"], 3);
  EXPECT_EQ(r["finish"], (Json{{"eos", 1}, {"length", 1}, {"stop", 0}, {"error", 1}}));
  EXPECT_EQ(r["prompt_tokens"], 35);
  EXPECT_EQ(r["generated_tokens"], 4);
  EXPECT_EQ(r["tokens_per_second"], 2.0);
}

TEST_F(ReportTest, LatenciesLeaveOutRequestsThatHaveNone) {
  Json const r = report();
  EXPECT_EQ(r["ttft_s"], (Json{{"p50", 0.25}, {"p95", 0.5}, {"p99", 0.5}}));   // of 0.25 and 0.5
  EXPECT_EQ(r["tpot_s"], (Json{{"p50", 0.5}, {"p95", 0.5}, {"p99", 0.5}}));    // of (1.5 - 0.5) / 2 alone
}

TEST_F(ReportTest, ResidentBytesAreAllButFree) {
  Json const kv = report()["kv"];
  EXPECT_EQ(kv["bytes_resident"], 3000 + 768 + 128 + 300 + 50);
  EXPECT_EQ(kv["by_rank"][0]["bytes_resident"], 1470);
  EXPECT_EQ(kv["by_rank"][1]["bytes_resident"], 2776);
  EXPECT_EQ(kv["by_rank"][1]["header"], 512);
  EXPECT_EQ(kv["bytes_peak"], 4300);
  EXPECT_EQ(kv["message_buffers"], 12345);
}

TEST_F(ReportTest, UncompressedEquivalentIsTokensTimesLayersTimesKeysAndValuesInBf16) {
  EXPECT_EQ(report()["kv"]["bytes_uncompressed_equivalent"], 35 * 3 * (2 * 2 * 8) * 2);
}

TEST_F(ReportTest, FfnBytesAreDispatchAndCombine) {
  Json const t = report()["transfer"];
  EXPECT_EQ(t["ffn_bytes"], 1100);
  EXPECT_EQ(t["partial_bytes"], 4000);
  EXPECT_EQ(t["by_locality"], (Json{{"rank", 900}, {"node", 11170}, {"remote", 0}}));
}

TEST_F(ReportTest, HitRateIsNullWithoutReads) {
  EXPECT_EQ(report()["cache"]["hit_rate"], 0.75);
  summary.totals.page_reads = summary.totals.hits = 0;
  EXPECT_TRUE(report()["cache"]["hit_rate"].is_null());
  EXPECT_THAT(summary_text(report()), ::testing::HasSubstr("hit rate n/a"));
}

TEST_F(ReportTest, HasTheKeysOfTheContract) {
  Json const r = report();
  using ::testing::IsSubsetOf;
  EXPECT_THAT((std::set<std::string>{"version", "command", "ranks", "hosts", "model", "requests", "prompt_tokens", "generated_tokens",
                                     "seconds", "tokens_per_second", "ttft_s", "tpot_s", "kv", "codec", "transfer", "integrity", "cache",
                                     "stages_s"}),
              IsSubsetOf(keys(r)));
  EXPECT_THAT((std::set<std::string>{"bytes_resident", "payload", "header", "summaries", "slack", "replicas", "bytes_peak",
                                     "bytes_uncompressed_equivalent", "tokens_appended", "tokens_resident", "cells_evicted",
                                     "pages_sealed", "pages_remote", "by_rank"}),
              IsSubsetOf(keys(r["kv"])));
  EXPECT_THAT((std::set<std::string>{"push_bytes", "fetch_bytes", "query_bytes", "partial_bytes", "ffn_bytes", "messages", "exchanges",
                                     "by_locality"}),
              IsSubsetOf(keys(r["transfer"])));
  EXPECT_EQ(keys(r["kv"]["by_rank"][0]),
            (std::set<std::string>{"payload", "header", "summaries", "slack", "replicas", "bytes_resident"}));
  EXPECT_EQ(keys(r["codec"]), (std::set<std::string>{"name", "stated_ratio"}));
  EXPECT_EQ(keys(r["integrity"]), (std::set<std::string>{"checked", "scrubbed", "corrupt", "stale", "timeout", "refetched", "rewinds"}));
  EXPECT_EQ(keys(r["cache"]), (std::set<std::string>{"page_reads", "hits", "hit_rate"}));
  EXPECT_EQ(keys(r["stages_s"]),
            (std::set<std::string>{"attention", "ffn", "routing", "codec", "scheduling", "communication", "other"}));
  EXPECT_EQ(r["model"]["parameters"], 999);
  EXPECT_FALSE(r.contains("fidelity"));
}

TEST_F(ReportTest, OfPagesThatCoolBothLevelsAreTold) {
  summary.totals.pages_recoded = 12;
  ReportInput input{.version = "0.1.0", .command = "pikv generate", .summary = summary, .results = results, .model = model, .codec = "int8", .codec_stated_ratio = .6};
  input.cold_codec = "int4";
  input.cold_after = 512;
  input.cold_stated_ratio = .375;
  auto const r = make_report(input);
  EXPECT_EQ(r["codec"].dump(), R"({"name":"int8","stated_ratio":0.6,"cold":{"name":"int4","after":512,"stated_ratio":0.375,"pages_recoded":12}})");
  EXPECT_NE(summary_text(r).find("int8 keeps 60.0 % of uncompressed pages, int4 after 512 tokens 37.5 %: 12 pages recoded"), std::string::npos);
  EXPECT_EQ(summary_text(report()).find("recoded"), std::string::npos);
}

TEST_F(ReportTest, FaultsAreToldByKindOnlyWithAFaultPlan) {
  EXPECT_FALSE(report().contains("faults"));
  EXPECT_THAT(summary_text(report()), ::testing::Not(::testing::HasSubstr("fault")));
  summary.faults = {.drop = 1, .delay = 2, .duplicate = 3, .reorder = 4, .flip = 5, .truncate = 6, .stall = 7};
  EXPECT_EQ(report()["faults"],
            (Json{{"drop", 1}, {"delay", 2}, {"duplicate", 3}, {"reorder", 4}, {"flip", 5}, {"truncate", 6}, {"stall", 7}}));
  EXPECT_THAT(summary_text(report()), ::testing::HasSubstr("1 drop, 2 delay, 3 duplicate"));
}

TEST_F(ReportTest, ACommandThatIsNotUtf8StillMakesJson) {
  Json r = report();
  r["command"] = "pikv \xff";
  EXPECT_EQ(Json::parse(report_text(r))["command"], "pikv \xEF\xBF\xBD");
}

TEST_F(ReportTest, AnEmptyRunHasNoPercentilesAndNoRates) {
  results.clear();
  summary = {};
  Json const r = report();
  EXPECT_EQ(r["tokens_per_second"], 0.0);
  EXPECT_TRUE(r["ttft_s"]["p99"].is_null());
  EXPECT_THAT(summary_text(r), ::testing::HasSubstr("n/a"));
}

TEST_F(ReportTest, TheSummaryIsOnePageOfTheSameNumbers) {
  std::string const text = summary_text(report());
  EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 40);
  EXPECT_THAT(text, ::testing::HasSubstr("12 sealed, 6 (50.0 %) stored on another rank"));
  EXPECT_THAT(text, ::testing::HasSubstr("hit rate 75.0 %"));
  EXPECT_THAT(text, ::testing::ContainsRegex("attention +1.00 s +25.0 %"));
  EXPECT_THAT(text, ::testing::HasSubstr("30 pages checked (9 in the background): 1 corrupt, 2 stale, 3 timed out, 4 fetched again, 5 rewinds"));
  ::testing::Test::RecordProperty("summary", text);
}

TEST(Percentiles, AreTheNearestRank) {
  std::vector<double> hundred(100), five{50, 15, 35, 20, 40};
  for (std::size_t i = 0; i < hundred.size(); ++i) hundred[i] = static_cast<double>(100 - i);
  EXPECT_EQ(percentiles(hundred)->p50, 50);
  EXPECT_EQ(percentiles(hundred)->p95, 95);
  EXPECT_EQ(percentiles(hundred)->p99, 99);
  EXPECT_EQ(percentiles(five)->p50, 35);
  EXPECT_EQ(percentiles(five)->p95, 50);
  EXPECT_EQ(percentiles({7})->p50, 7);
  EXPECT_FALSE(percentiles({}));
}

}  // namespace
}  // namespace pikv::runtime
