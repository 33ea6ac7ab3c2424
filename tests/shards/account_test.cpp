#include "shards/account.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <random>
#include <stdexcept>

namespace pikv::shards {
namespace {

std::size_t sum(MemoryAccount const& account) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < memory_categories; ++i) bytes += account.bytes(static_cast<Memory>(i));
  return bytes;
}

TEST(MemoryAccount, StartsEmptyAndTakesWhatTheAllocatorGaveAsFree) {
  MemoryAccount account;
  EXPECT_EQ(account.total(), 0u);
  account.allocated(1000);
  account.allocated(24);
  EXPECT_EQ(account.bytes(Memory::free), 1024u);
  EXPECT_EQ(account.total(), 1024u);
  EXPECT_EQ(account.resident(), 0u);
}

TEST(MemoryAccount, CategoriesAddUpToTheTotalAndMatchALedgerUnderRandomMoves) {
  std::mt19937_64 random{7};
  MemoryAccount account;
  std::array<std::size_t, memory_categories> ledger{};
  std::size_t peak = 0;
  for (int i = 0; i < 20'000; ++i) {
    if (i % 1000 == 0) {
      account.allocated(5000);
      ledger[static_cast<std::size_t>(Memory::free)] += 5000;
    }
    std::size_t const from = random() % memory_categories, to = random() % memory_categories;
    std::size_t const bytes = random() % (ledger[from] + 1);
    account.move(static_cast<Memory>(from), static_cast<Memory>(to), bytes);
    ledger[from] -= bytes;
    ledger[to] += bytes;
    std::size_t const total = std::accumulate(ledger.begin(), ledger.end(), std::size_t{0});
    peak = std::max(peak, total - ledger[static_cast<std::size_t>(Memory::free)]);
    for (std::size_t c = 0; c < memory_categories; ++c) ASSERT_EQ(account.bytes(static_cast<Memory>(c)), ledger[c]);
    ASSERT_EQ(account.total(), total);
    ASSERT_EQ(sum(account), total);
    ASSERT_EQ(account.peak(), peak);
  }
}

TEST(MemoryAccount, RefusesToTakeWhatIsNotThereAndStaysAsItWas) {
  MemoryAccount account;
  account.allocated(100);
  account.move(Memory::free, Memory::payload, 60);
  EXPECT_THROW(account.move(Memory::payload, Memory::free, 61), std::logic_error);
  EXPECT_THROW(account.move(Memory::header, Memory::free, 1), std::logic_error);
  EXPECT_EQ(account.bytes(Memory::payload), 60u);
  EXPECT_EQ(account.bytes(Memory::free), 40u);
  EXPECT_EQ(account.total(), 100u);
}

TEST(MemoryAccount, PeakRemembersTheLargestResident) {
  MemoryAccount account;
  account.allocated(100);
  account.move(Memory::free, Memory::slack, 70);
  account.move(Memory::slack, Memory::free, 70);
  account.move(Memory::free, Memory::header, 10);
  EXPECT_EQ(account.peak(), 70u);
  EXPECT_EQ(account.resident(), 10u);
}

}  // namespace
}  // namespace pikv::shards
