#include <gmock/gmock.h>

#include "runtime/replay/arc.hpp"
#include "runtime/replay/belady.hpp"
#include "runtime/replay/lru.hpp"
#include "runtime/replay/prefix_lru.hpp"
#include "runtime/replay/s3fifo.hpp"
#include "tests/runtime/replay/made_reads.hpp"
#include "tests/runtime/replay/plain_models.hpp"

namespace pikv::runtime::replay {
namespace {

using ::testing::ElementsAre;

/// Reads both through, on traces of many shapes and every small capacity.
template <class Ours>
void expect_the_same_hits(auto const& make_model) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Reads const reads = random_reads(seed, 600, 5 + static_cast<int>(seed) * 2);
    for (Page const capacity : {1, 2, 3, 4, 5, 7, 9, 10, 11, 15, 20, 23, 30, 41, 60}) {
      Ours ours{reads, capacity};
      auto model = make_model(capacity);
      ASSERT_EQ(hits_of(ours, reads), hits_of(model, reads)) << "capacity " << capacity << ", seed " << seed;
    }
  }
}

TEST(ReferencesTest, LruHitsWhatAModelThatSearchesForTheOldestHits) {
  expect_the_same_hits<Lru>([](Page capacity) { return PlainLru{capacity}; });
}

TEST(ReferencesTest, S3FifoHitsWhatAPlainModelHits) {
  expect_the_same_hits<S3Fifo>([](Page capacity) { return PlainS3Fifo{capacity, false}; });
}

TEST(ReferencesTest, ArcHitsWhatThePapersFourCasesHit) {
  expect_the_same_hits<Arc>([](Page capacity) { return PlainArc{capacity}; });
}

/// Hits of libCacheSim 0.3.5 (PyPI: libcachesim) on the same reads: LRU, ARC, S3FIFO, Belady.
struct Published {
  Page capacity;
  std::int64_t lru, arc, s3fifo, belady;
};
constexpr Published published[] = {{20, 2086, 3006, 2986, 7292}, {100, 8151, 9145, 8372, 12972}, {500, 15131, 14953, 14555, 17434}};

TEST(ReferencesTest, AllHaveAsManyHitsAsLibCacheSim) {
  Reads const reads = mixed_reads();
  for (Published const& row : published) {
    Lru lru{reads, row.capacity};
    Arc arc{reads, row.capacity};
    Belady belady{reads, row.capacity};
    PlainS3Fifo s3fifo{row.capacity, true};   // the model that S3Fifo is held against, with the one thing libCacheSim 0.3.5 does otherwise
    EXPECT_EQ(replay(lru, reads).hits, row.lru);
    EXPECT_EQ(replay(arc, reads).hits, row.arc);
    EXPECT_EQ(replay(belady, reads).hits, row.belady);
    EXPECT_EQ(replay(s3fifo, reads).hits, row.s3fifo);
  }
}

TEST(ReferencesTest, ArcKeepsTheInvariantsOfThePaper) {
  for (Page const capacity : {1, 3, 20, 100, 500}) {
    Reads const reads = mixed_reads();
    Arc arc{reads, capacity};
    for (Page const page : reads.pages) {
      (void)arc.read(page);
      auto const [t1, t2, b1, b2, target] = arc.sizes();
      ASSERT_LE(t1 + t2, capacity);
      ASSERT_LE(t1 + b1, capacity);
      ASSERT_LE(t1 + t2 + b1 + b2, 2 * capacity);
      ASSERT_TRUE(t1 + t2 == capacity || b1 + b2 == 0) << "pages were evicted before the cache was full";
      ASSERT_TRUE(target >= 0 && target <= capacity);
    }
  }
}

TEST(ReferencesTest, LruEvictsBThenCInTheExampleOfTheMethods) {
  Reads const reads = one_request({'A', 'B', 'C', 'A', 'D', 'A', 'B'});   // D takes B's place, B that of C
  Lru lru{reads, 3};
  EXPECT_THAT(hits_of(lru, reads), ElementsAre(false, false, false, true, false, true, false));
  EXPECT_TRUE(lru.read(reads.pages[4])) << "D is still there";
  EXPECT_FALSE(lru.read(reads.pages[2])) << "C went";
}

TEST(ReferencesTest, PrefixLruLetsTheEndOfARequestGoBeforeItsBeginning) {
  Reads const reads = reads_of({{1, 2, 3}, {4}, {1, 2, 3}});
  PrefixLru cache{reads, 3};
  EXPECT_THAT(hits_of(cache, reads), ElementsAre(false, false, false, false, true, true, false));
}

TEST(ReferencesTest, PrefixLruIsLruWhereRequestsHaveOnePage) {
  std::vector<std::vector<int>> alone;
  for (Page const page : random_reads(1, 2000, 50).pages) alone.push_back({page});
  Reads const reads = reads_of(alone);
  for (Page const capacity : {1, 5, 20}) {
    PrefixLru ours{reads, capacity};
    PlainLru lru{capacity};
    EXPECT_EQ(hits_of(ours, reads), hits_of(lru, reads));
  }
}

TEST(ReferencesTest, BeladyHasTheMostHitsOfAllWaysToChoose) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Reads const reads = random_reads(seed, 40, 9);
    for (Page const capacity : {1, 2, 3, 4, 6}) {
      Belady belady{reads, capacity};
      ASSERT_EQ(replay(belady, reads).hits, most_hits(reads, size_of(capacity))) << "capacity " << capacity << ", seed " << seed;
    }
  }
}

TEST(ReferencesTest, BeladyHitsAsTheTextbookSays) {
  // Silberschatz, Operating System Concepts: three frames, 9 faults under the optimum, 12 under LRU
  Reads const reads = one_request({7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1});
  Belady belady{reads, 3};
  Lru lru{reads, 3};
  EXPECT_EQ(replay(belady, reads).misses(), 9);
  EXPECT_EQ(replay(lru, reads).misses(), 12);
}

TEST(ReferencesTest, PrefixHitsEndAtARequestsFirstMiss) {
  Reads const reads = reads_of({{1, 2}, {3, 2}, {1, 2, 4, 3}});
  Lru cache{reads, 10};
  Score const score = replay(cache, reads);
  EXPECT_EQ(score.reads, 8);
  EXPECT_EQ(score.hits, 4);          // 2; 1, 2, 3
  EXPECT_EQ(score.prefix_hits, 2);   // 1, 2 of the last request
  EXPECT_EQ(score.misses(), 4);
}

}   // namespace
}   // namespace pikv::runtime::replay
