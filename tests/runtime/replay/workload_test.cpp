#include "runtime/replay/workload.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/runtime/replay/made_reads.hpp"

namespace pikv::runtime::replay {
namespace {

using Json = nlohmann::json;

std::vector<Json> requests_of(Workload const& workload) {
  std::vector<Json> requests;
  std::istringstream in{generated_text(workload)};
  for (std::string line; std::getline(in, line);) requests.push_back(Json::parse(line));
  return requests;
}

TEST(WorkloadTest, TheSameSeedGivesTheSameLinesAnotherSeedOthers) {
  Workload const workload{.requests = 200, .seed = 7};
  EXPECT_EQ(generated_text(workload), generated_text(workload));
  EXPECT_NE(generated_text(workload), generated_text({.requests = 200, .seed = 8}));
}

TEST(WorkloadTest, RequestsAreAsManyAsAskedForInOrderWithABlockPer512Tokens) {
  auto const requests = requests_of({.requests = 777});
  ASSERT_EQ(requests.size(), 777u);
  double before = 0;
  for (Json const& request : requests) {
    EXPECT_GE(request["timestamp"], before);
    before = request["timestamp"];
    EXPECT_EQ(request["hash_ids"].size(), (request["input_length"].get<std::size_t>() + 511) / 512);
    EXPECT_LE(request["input_length"], most_input_tokens);
  }
}

TEST(WorkloadTest, IdsAreNumbersInOrderOfAppearanceAndABlockIsAlwaysReadBehindTheSameOnes) {
  std::map<int, std::vector<int>> before;   // of each id: what stood before it
  int next = 0;
  for (Json const& request : requests_of({.requests = 500, .prefixes = 20, .rate = 5})) {
    std::vector<int> prefix;
    for (int const id : request["hash_ids"]) {
      EXPECT_LE(id, next);
      next = std::max(next, id + 1);
      EXPECT_EQ(before.try_emplace(id, prefix).first->second, prefix);
      prefix.push_back(id);
    }
  }
}

TEST(WorkloadTest, RequestsArriveAtTheRateAskedFor) {
  auto const requests = requests_of({.requests = 20000, .turns = 1, .rate = 4});
  std::vector<double> gaps;
  for (std::size_t i = 1; i < requests.size(); ++i)
    gaps.push_back(requests[i]["timestamp"].get<double>() - requests[i - 1]["timestamp"].get<double>());
  double mean = 0, square = 0;
  for (double const gap : gaps) mean += gap / static_cast<double>(gaps.size()), square += gap * gap / static_cast<double>(gaps.size());
  EXPECT_NEAR(mean, 250, 8);
  EXPECT_NEAR(std::sqrt(square - mean * mean) / mean, 1, .04) << "gaps of a Poisson process have a standard deviation as large as their mean";
}

TEST(WorkloadTest, PrefixesArePopularAsZipfSays) {
  std::map<int, int> sessions;   // first id -> sessions that began with it
  for (Json const& request : requests_of({.requests = 20000, .prefixes = 50, .zipf = 1, .turns = 1, .prefix_tokens = 131072}))
    ++sessions[request["hash_ids"][0]];
  std::vector<double> popular;
  for (auto const& [id, times] : sessions) popular.push_back(times);
  std::ranges::sort(popular, std::greater{});
  double harmonic = 0;
  for (int i = 1; i <= 50; ++i) harmonic += 1. / i;
  for (int const place : {1, 2, 4, 8}) EXPECT_NEAR(popular.at(static_cast<std::size_t>(place) - 1), 20000 / harmonic / place, 350. / place);
}

TEST(WorkloadTest, ATurnsInputBeginsWithTheWholeBlocksOfTheTurnBefore) {
  auto const requests =
      requests_of({.requests = 300, .prefixes = 1, .turns = 1e3, .prefix_tokens = 0, .input_tokens = 700, .rate = 1e3, .think_s = .001});
  std::map<int, Json> last;   // by a session's first whole block
  int extended = 0;
  for (Json const& request : requests) {
    auto const& ids = request["hash_ids"];
    if (request["input_length"] < 512) continue;
    if (auto const turn_before = last.find(ids[0]); turn_before != last.end()) {
      auto const& old = turn_before->second;
      auto const whole = old["input_length"].get<std::ptrdiff_t>() / 512;
      ASSERT_GT(request["input_length"], old["input_length"].get<int>() + old["output_length"].get<int>());
      EXPECT_TRUE(std::equal(old["hash_ids"].begin(), old["hash_ids"].begin() + whole, ids.begin()));
      ++extended;
    }
    last[ids[0]] = request;
  }
  EXPECT_GT(extended, 100);
}

TEST(WorkloadTest, TurnsAreAsManyAsAskedForInTheMean) {
  Workload const workload{.requests = 6000, .prefixes = 1000000, .zipf = 0, .turns = 4, .prefix_tokens = 131072, .think_s = .001};
  std::set<int> sessions;   // their first ids: hardly any share a prefix, or have one of less than a block
  for (Json const& request : requests_of(workload)) sessions.insert(request["hash_ids"][0].get<int>());
  EXPECT_NEAR(6000. / static_cast<double>(sessions.size()), 4, .25);
}

}   // namespace
}   // namespace pikv::runtime::replay
