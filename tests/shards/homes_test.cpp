#include "shards/homes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <stdexcept>
#include <vector>

#include "comm/error.hpp"
#include "shards/homes/content.hpp"
#include "shards/homes/router.hpp"

namespace pikv::shards {
namespace {

std::vector<KvExpert> experts_of(std::string_view home, StreamId stream, KvExpert experts, std::vector<Block> const& blocks) {
  auto const policy = make_home_policy(home);
  std::vector<KvExpert> chosen;
  for (Block const block : blocks) chosen.push_back(policy->expert_of({.stream = stream, .block = block, .experts = experts}));
  return chosen;
}

/// Streams and blocks are numbered alike, so that a hash that mixes them poorly shows.
std::vector<int> counts_of(std::string_view home, int streams, Block blocks, KvExpert experts) {
  auto const policy = make_home_policy(home);
  std::vector<int> counts(static_cast<std::size_t>(experts));
  for (int s = 0; s < streams; ++s) {
    StreamId const stream{.hi = 0, .lo = static_cast<std::uint64_t>(s)};
    for (Block block = 0; block < blocks; ++block) {
      ++counts.at(static_cast<std::size_t>(policy->expert_of({.stream = stream, .block = block, .experts = experts})));
    }
  }
  return counts;
}

// Expected values from a few lines of Python with unbounded integers.
TEST(HomeMod, GivesTheValuesOfItsFormula) {
  std::vector<Block> const blocks{0, 1, 2, 1'000'000};
  EXPECT_EQ(experts_of("mod", {0, 0}, 7, blocks), (std::vector<KvExpert>{3, 6, 6, 5}));
  EXPECT_EQ(experts_of("mod", {1, 2}, 64, blocks), (std::vector<KvExpert>{49, 38, 26, 58}));
  EXPECT_EQ(experts_of("mod", {0xdeadbeef, ~0ull}, 64, blocks), (std::vector<KvExpert>{6, 14, 47, 6}));
}

TEST(HomeRoundRobin, GivesTheValuesOfItsFormulaAlsoWhereTheSumPasses64Bits) {
  std::vector<Block> const blocks{0, 1, 2, 1'000'000};
  EXPECT_EQ(experts_of("round_robin", {0, 0}, 7, blocks), (std::vector<KvExpert>{2, 3, 4, 3}));
  EXPECT_EQ(experts_of("round_robin", {1, 2}, 64, blocks), (std::vector<KvExpert>{5, 6, 7, 5}));
  StreamId const largest_sequence{.hi = 0xd34222cf003cfc04, .lo = 0};   // 2^64 - 1
  EXPECT_EQ(experts_of("round_robin", largest_sequence, 7, {0, 1, 2}), (std::vector<KvExpert>{1, 2, 3}));
}

TEST(HomeMod, SharesPassAChiSquareTest) {
  for (KvExpert const experts : {8, 60, 64}) {
    auto const counts = counts_of("mod", 256, 256, experts);
    double const expected = 256.0 * 256.0 / experts;
    double chi_square = 0;
    for (int const count : counts) chi_square += (count - expected) * (count - expected) / expected;
    double const degrees = experts - 1;   // mean; variance 2 * degrees; too even is no hash either
    EXPECT_LT(chi_square, degrees + 3.5 * std::sqrt(2 * degrees)) << experts;
    EXPECT_GT(chi_square, degrees - 3.5 * std::sqrt(2 * degrees)) << experts;
  }
}

TEST(HomeRoundRobin, CountsOfOneStreamDifferByAtMostOne) {
  for (KvExpert const experts : {1, 3, 64}) {
    for (Block const blocks : {1, 64, 65, 1000}) {
      auto const counts = counts_of("round_robin", 1, blocks, experts);
      auto const [least, most] = std::ranges::minmax_element(counts);
      EXPECT_LE(*most - *least, 1) << blocks << " blocks, " << experts << " experts";
    }
  }
}

class EachHome : public ::testing::TestWithParam<std::string_view> {};

TEST_P(EachHome, SameEventsMakeSameExpertsInRange) {
  auto const once = make_home_policy(GetParam()), again = make_home_policy(GetParam());
  std::mt19937 bits{1};
  std::normal_distribution<float> normal;
  for (KvExpert const experts : {1, 2, 7, 64, 5000}) {
    for (Block block = 0; block < 1000; ++block) {
      std::vector<float> key(4), gate(6);
      for (auto* const values : {&key, &gate})
        for (float& value : *values) value = normal(bits);
      SealedBlock const sealed{.stream = {1, static_cast<std::uint64_t>(experts)}, .block = block, .experts = experts, .mean_key = key, .gate = gate};
      KvExpert const expert = once->expert_of(sealed);
      ASSERT_GE(expert, 0);
      ASSERT_LT(expert, experts);
      ASSERT_EQ(again->expert_of(sealed), expert);
    }
  }
}

TEST_P(EachHome, AStreamThatWasClosedLeavesNothingBehind) {
  auto const policy = make_home_policy(GetParam());
  std::vector<float> const key{1, 2, 3};
  std::size_t const before = policy->bytes();
  std::vector<KvExpert> first, second;
  for (auto* const experts : {&first, &second}) {
    for (Block block = 0; block < 50; ++block)
      experts->push_back(policy->expert_of({.stream = {3, 4}, .block = block, .experts = 8, .mean_key = key}));
    policy->close({3, 4});
    EXPECT_EQ(policy->bytes(), before);
  }
  EXPECT_EQ(first, second);
}

std::vector<std::string_view> names() {
  std::vector<std::string_view> all;
  for (auto const& [name, entry] : home_policies()) all.push_back(name);
  return all;
}
INSTANTIATE_TEST_SUITE_P(Homes, EachHome, ::testing::ValuesIn(names()), [](auto const& home) { return std::string{home.param}; });

class HashedHome : public ::testing::TestWithParam<std::string_view> {};

TEST_P(HashedHome, IsAPureFunctionOfStreamAndBlock) {
  auto const once = make_home_policy(GetParam()), again = make_home_policy(GetParam());
  for (Block block = 999; block >= 0; --block) (void)again->expert_of({.stream = {3, 4}, .block = block, .experts = 64});
  for (Block block = 0; block < 1000; ++block) {
    SealedBlock const sealed{.stream = {1, 2}, .block = block, .experts = 64};
    ASSERT_EQ(again->expert_of(sealed), once->expert_of(sealed));
  }
}
INSTANTIATE_TEST_SUITE_P(Homes, HashedHome, ::testing::Values("mod", "round_robin"));

KvExpert router_expert(std::vector<float> const& gate, KvExpert experts, Block block = 5) {
  return make_router_home()->expert_of({.stream = {1, 2}, .block = block, .experts = experts, .layer = 1, .layers = 2, .gate = gate});
}

TEST(HomeRouter, TakesTheExpertThatTheGateLikedBest) {
  EXPECT_EQ(router_expert({.2f, 3.1f, 4.7f, 0}, 4), 2);
  EXPECT_EQ(router_expert({1, 3, 3, 0}, 4), 1) << "ties: the lower";
  EXPECT_EQ(router_expert({0, 0, 0, 0, 0, 9}, 4), 1) << "more experts of the model than of the cache";
}

TEST(HomeRouter, WithoutAGateItIsMod) {
  for (Block block = 0; block < 100; ++block)
    EXPECT_EQ(router_expert({}, 64, block), make_home_policy("mod")->expert_of({.stream = {1, 2}, .block = block, .experts = 64}));
}

TEST(HomeRouter, AGateThatIsNoNumberIsABug) { EXPECT_THROW(router_expert({0, std::nanf(""), 1}, 3), std::logic_error); }

/// Mean keys that lie around `themes` random directions.
class Themes {
 public:
  Themes(int themes, std::size_t width, float within, std::uint32_t seed) : bits_{seed}, within_{within}, centres_(static_cast<std::size_t>(themes)) {
    for (auto& centre : centres_)
      for (std::size_t i = 0; i < width; ++i) centre.push_back(normal_(bits_));
  }
  std::vector<float> key(int theme) {
    auto key = centres_[static_cast<std::size_t>(theme)];
    float const scale = 1 + std::abs(normal_(bits_));
    for (float& x : key) x = scale * (x + within_ * normal_(bits_));
    return key;
  }
  int any() { return static_cast<int>(bits_() % centres_.size()); }

 private:
  std::mt19937 bits_;
  std::normal_distribution<float> normal_;
  float within_;
  std::vector<std::vector<float>> centres_;
};

constexpr StreamId stream{7, 8};

KvExpert seal(HomePolicy& home, Block block, KvExpert experts, std::vector<float> const& key, std::int32_t layer = 0, StreamId const& id = stream) {
  return home.expert_of({.stream = id, .block = block, .experts = experts, .layer = layer, .layers = 3, .mean_key = key});
}

TEST(HomeContent, NoExpertHoldsMoreThanItsCap) {
  for (KvExpert const experts : {1, 3, 8, 64}) {
    for (int const themes : {1, 5, 200}) {   // one: all want the same expert
      auto const home = make_content_home();
      Themes source{themes, 12, 0.1f, 3};
      std::vector<int> counts(static_cast<std::size_t>(experts));
      for (Block block = 0; block < 1500; ++block) {
        int const cap = std::max(1, (5 * (block + 1) + 4 * experts - 1) / (4 * experts));   // ceil(1.25 (pages + 1) / E)
        int& count = counts.at(static_cast<std::size_t>(seal(*home, block, experts, source.key(source.any()))));
        ++count;
        ASSERT_LE(count, cap) << block << " blocks, " << experts << " experts, " << themes << " themes";
      }
    }
  }
}

TEST(HomeContent, ThePagesThatComeFirstStartAllExperts) {
  auto const home = make_content_home();
  Themes source{1, 12, 0.1f, 3};
  std::map<KvExpert, int> counts;
  for (Block block = 0; block < 64; ++block) ++counts[seal(*home, block, 64, source.key(0))];
  EXPECT_EQ(counts.size(), 64u);
}

// The rule once more, plainly: all in fp64, the experts as a list of (count, centroid).
TEST(HomeContent, ChoosesByItsRule) {
  constexpr int experts = 6;
  constexpr std::size_t width = 10;
  auto const home = make_content_home();
  Themes source{9, width, 0.4f, 5};
  struct Expert {
    int pages = 0;
    std::vector<double> centroid;
  };
  std::map<KvExpert, Expert> known;
  auto const cosine = [](std::vector<double> const& a, std::vector<double> const& b) {
    double ab = 0, aa = 0, bb = 0;
    for (std::size_t i = 0; i < a.size(); ++i) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
    return ab / std::sqrt(aa * bb);
  };
  for (Block block = 0; block < 400; ++block) {
    auto const key = source.key(source.any());
    std::vector<double> const mean(key.begin(), key.end());
    KvExpert const expert = seal(*home, block, experts, key);
    if (block >= experts) {
      double best = -2;
      for (auto const& [e, state] : known)
        if (state.pages < std::ceil(1.25 * (block + 1) / experts)) best = std::max(best, cosine(mean, state.centroid));
      ASSERT_NEAR(cosine(mean, known.at(expert).centroid), best, 1e-5) << block;
    }
    Expert& chosen = known[expert];
    ++chosen.pages;
    double squares = 0;
    for (double const x : mean) squares += x * x;
    if (chosen.centroid.empty()) {
      chosen.centroid = mean;
      for (double& x : chosen.centroid) x /= std::sqrt(squares);
      continue;
    }
    double longer = 0;
    for (std::size_t i = 0; i < width; ++i) {
      chosen.centroid[i] = .95 * chosen.centroid[i] + .05 * mean[i] / std::sqrt(squares);
      longer += chosen.centroid[i] * chosen.centroid[i];
    }
    for (double& x : chosen.centroid) x /= std::sqrt(longer);
  }
}

TEST(HomeContent, PagesOfOneThemeShareAnExpert) {
  constexpr int experts = 8;
  auto const home = make_content_home();
  Themes source{experts, 32, 0.2f, 6};
  std::map<int, KvExpert> expert_of_theme;
  for (Block block = 0; block < experts; ++block) expert_of_theme[block] = seal(*home, block, experts, source.key(block));
  for (Block block = experts; block < 400; ++block)
    ASSERT_EQ(seal(*home, block, experts, source.key(block % experts)), expert_of_theme[block % experts]);
}

TEST(HomeContent, LayersAndStreamsKnowNothingOfEachOther) {
  auto const mixed = make_content_home(), alone = make_content_home();
  Themes source{5, 8, 0.3f, 7}, noise{5, 8, 0.3f, 70};
  for (Block block = 0; block < 100; ++block) {
    auto const key = source.key(source.any());
    KvExpert const expected = seal(*alone, block, 8, key);
    (void)seal(*mixed, block, 8, noise.key(noise.any()), 2);
    (void)seal(*mixed, block, 8, noise.key(noise.any()), 0, {1, 1});
    ASSERT_EQ(seal(*mixed, block, 8, key), expected);
  }
}

TEST(HomeContent, BlocksThatWereForgottenMakeRoom) {
  auto const home = make_content_home();
  Themes source{1, 8, 0.01f, 8};   // all want the same expert
  std::vector<KvExpert> expert_of;
  for (int round = 0; round < 20; ++round) {
    for (auto block = static_cast<Block>(expert_of.size()); block < 100; ++block) {
      expert_of.push_back(seal(*home, block, 4, source.key(0)));
      for (KvExpert e = 0; e < 4; ++e) ASSERT_LE(std::ranges::count(expert_of, e), (5 * (block + 1) + 15) / 16);
    }
    Block const from = 30 + round;
    home->forget(stream, from);
    expert_of.resize(static_cast<std::size_t>(from));
  }
  home->forget({9, 9}, 0);   // a stream without state
}

TEST(HomeContent, AHomeThatAdoptsThePagesOfACheckpointGoesOnAsTheFirstWould) {
  auto const first = make_content_home(), resumed = make_content_home();
  Themes source{6, 8, 0.3f, 9};
  for (Block block = 0; block < 60; ++block) {
    auto const key = source.key(source.any());
    KvExpert const expert = seal(*first, block, 8, key);
    resumed->adopt({.stream = stream, .block = block, .experts = 8, .layer = 0, .layers = 3, .mean_key = key}, expert);
  }
  for (Block block = 60; block < 300; ++block) {
    auto const key = source.key(source.any());
    ASSERT_EQ(seal(*resumed, block, 8, key), seal(*first, block, 8, key));
  }
}

TEST(HomeContent, ItsStateGrowsWithTheExpertsInUseAndIsCounted) {
  auto const home = make_content_home();
  std::vector<float> const key(256, 1.0f);
  (void)seal(*home, 0, 64, key);
  std::size_t const one = home->bytes();
  (void)seal(*home, 1, 64, key);
  EXPECT_GE(home->bytes(), one + 256 * sizeof(float));
  EXPECT_LE(home->bytes(), one + 256 * sizeof(float) + 64);
}

TEST(HomeContent, AMeanKeyThatIsMissingOrNoNumberIsABug) {
  auto const home = make_content_home();
  EXPECT_THROW(seal(*home, 0, 4, {}), std::logic_error);
  EXPECT_THROW(seal(*home, 0, 4, {1, std::nanf("")}), std::logic_error);
  (void)seal(*home, 0, 1, {0, 0});
  EXPECT_EQ(seal(*home, 1, 1, {0, 0}), 0) << "a key without a direction is no error";
}

TEST(Homes, AnUnknownNameIsAnErrorThatListsTheNames) {
  try {
    (void)make_home_policy("nearest");
    FAIL() << "nearest was accepted";
  } catch (InputError const& error) {
    EXPECT_STREQ(error.what(), "no home named 'nearest'; choose one of: content, mod, round_robin, router");
  }
}

}  // namespace
}  // namespace pikv::shards
