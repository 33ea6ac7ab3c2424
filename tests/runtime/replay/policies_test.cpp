#include "runtime/replay/policies.hpp"

#include <gmock/gmock.h>

#include "runtime/replay/results.hpp"
#include "tests/runtime/replay/made_reads.hpp"

namespace pikv::runtime::replay {
namespace {

std::int64_t hits(std::string const& policy, Reads const& reads, Page capacity) {
  return replay(*policies().at(policy).make(reads, capacity), reads).hits;
}

class PoliciesTest : public ::testing::TestWithParam<std::string> {};

TEST_P(PoliciesTest, FirstReadsMissAndAllOthersHitWhereEveryPageHasAPlace) {
  for (Reads const& reads : {mixed_reads(), random_reads(5, 500, 40), generated_reads({.requests = 100})})
    for (Page const more : {0, 1, 1000})
      EXPECT_EQ(hits(GetParam(), reads, reads.distinct + more), static_cast<std::int64_t>(reads.pages.size()) - reads.distinct);
}

TEST_P(PoliciesTest, NeverHitsMoreThanBelady) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Reads const reads = seed % 2 == 0 ? random_reads(seed, 1500, 60) : generated_reads({.requests = 100, .seed = seed, .prefixes = 5});
    for (Page capacity = 1; capacity <= std::min(reads.distinct, 200); capacity += 1 + capacity / 4)
      ASSERT_LE(hits(GetParam(), reads, capacity), hits("belady", reads, capacity)) << "capacity " << capacity << ", seed " << seed;
  }
}

TEST_P(PoliciesTest, APageJustReadIsThere) {
  Reads const reads = random_reads(8, 800, 30);
  for (Page const capacity : {1, 2, 10}) {
    std::vector<std::vector<int>> twice;
    for (Page const page : reads.pages) twice.push_back({page, page});
    Reads const doubled = reads_of(twice);
    auto const cache = policies().at(GetParam()).make(doubled, capacity);
    auto const found = hits_of(*cache, doubled);
    for (std::size_t i = 1; i < found.size(); i += 2) ASSERT_TRUE(found[i]) << "read " << i << ", capacity " << capacity;
  }
}

TEST_P(PoliciesTest, TheSameReadsGiveTheSameHits) {
  Reads const reads = mixed_reads();
  auto const first = policies().at(GetParam()).make(reads, 50), second = policies().at(GetParam()).make(reads, 50);
  EXPECT_EQ(hits_of(*first, reads), hits_of(*second, reads));
}

std::vector<std::string> all_names() {
  std::vector<std::string> names;
  for (auto const& [name, policy] : policies()) names.push_back(name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(All, PoliciesTest, ::testing::ValuesIn(all_names()), [](auto const& policy) {
  std::string name = policy.param;
  std::ranges::replace(name, ':', '_');
  return name;
});

TEST(DefaultPolicyTest, PrefixLruNeverHitsLessThanLruOnGeneratedTraces) {
  int better = 0;
  for (std::uint64_t const seed : {1, 2})
    for (double const zipf : {0.0, 1.2})
      for (double const turns : {1.0, 5.0})
        for (double const prefix_tokens : {0.0, 2048.0, 16384.0}) {
          Reads const reads =
              generated_reads({.requests = 400, .seed = seed, .prefixes = 30, .zipf = zipf, .turns = turns, .prefix_tokens = prefix_tokens});
          for (Page capacity = 1; capacity < reads.distinct; capacity += 1 + capacity / 3) {
            auto const ours = hits(std::string{default_policy}, reads, capacity), lru = hits("lru", reads, capacity);
            ASSERT_GE(ours, lru) << "capacity " << capacity << ", seed " << seed << ", zipf " << zipf << ", turns " << turns << ", prefix "
                                 << prefix_tokens;
            better += ours > lru;
          }
        }
  EXPECT_GT(better, 100);
}

TEST(PoliciesTableTest, TheEnginesSchedulersThatDecideFromReadsAreAmongThem) {
  EXPECT_TRUE(policies().contains("lru_plus"));
  EXPECT_TRUE(policies().contains("scheduler:lru")) << "lru itself is the linked list";
  EXPECT_FALSE(policies().contains("none"));
}

}   // namespace
}   // namespace pikv::runtime::replay
