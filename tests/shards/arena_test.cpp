#include "shards/arena.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <stdexcept>
#include <vector>

#include "tests/shards/allocations.hpp"
#include "tests/shards/fake_transport.hpp"

namespace pikv::shards {
namespace {

using kernels::DType;
using kernels::PageLayout;

constexpr PageLayout small{DType::bf16, 2, 16, 8};    // 1 KiB in a slot of 4 KiB
constexpr PageLayout large{DType::f32, 3, 32, 16};    // 12 KiB in three times 4 KiB, no slack

std::size_t sum(MemoryAccount const& account) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < memory_categories; ++i) bytes += account.bytes(static_cast<Memory>(i));
  return bytes;
}

struct ArenaTest : ::testing::Test {
  test::FakeTransport transport;
  Arena arena{transport, {{small, 4}, {large, 2}}};
};

TEST_F(ArenaTest, EveryByteTheTransportGaveIsInTheAccount) {
  EXPECT_EQ(arena.account().total(), transport.allocated());
  EXPECT_EQ(arena.account().total(), 4 * slot_cost(small) + 2 * slot_cost(large));
  EXPECT_EQ(slot_cost(small), 256u + 4096u);
  EXPECT_EQ(slot_cost(large), 256u + 12288u);
  EXPECT_EQ(arena.account().bytes(Memory::free), transport.allocated());
}

TEST_F(ArenaTest, SlotsOfAClassLieApartAndWhereTheirOffsetsSay) {
  EXPECT_EQ(arena.slots(0), 4u);
  EXPECT_EQ(arena.slots(1), 2u);
  Slot const a = arena.take(1), b = arena.take(1);
  EXPECT_EQ(arena.payload(a).size(), large.bytes());
  EXPECT_EQ(arena.payload(b).data() - arena.payload(a).data(), 12288);
  EXPECT_EQ(arena.payload_at(b).byte - arena.payload_at(a).byte, 12288u);
  EXPECT_EQ(arena.header_at(b).byte - arena.header_at(a).byte, header_bytes);
  EXPECT_EQ(arena.header_at(a).region, arena.header_at(b).region);
  EXPECT_NE(arena.header_at(a).region, arena.payload_at(a).region);
  EXPECT_EQ(arena.view(1).keys(arena.place(b)), arena.payload(b).data());
  EXPECT_EQ(reinterpret_cast<std::byte*>(&arena.header(b)) - reinterpret_cast<std::byte*>(&arena.header(a)), 256);
}

TEST_F(ArenaTest, TakesTheSlotFreeTheLongestAndSaysWhenThereIsNone) {
  EXPECT_EQ(arena.place(arena.take(0)), 0);
  EXPECT_EQ(arena.place(arena.take(0)), 1);
  arena.give_back({0});
  EXPECT_EQ(arena.place(arena.take(0)), 2);
  EXPECT_EQ(arena.place(arena.take(0)), 3);
  EXPECT_EQ(arena.place(arena.take(0)), 0);
  EXPECT_FALSE(arena.take(0).valid());
  EXPECT_EQ(arena.free_slots(0), 0u);
  EXPECT_EQ(arena.free_slots(1), 2u);
}

TEST_F(ArenaTest, BookingMovesBytesToPayloadHeaderAndSlack) {
  Slot const slot = arena.take(0);
  arena.book(slot, 1000, false);
  MemoryAccount const& account = arena.account();
  EXPECT_EQ(account.bytes(Memory::payload), 1000u);
  EXPECT_EQ(account.bytes(Memory::header), 256u);
  EXPECT_EQ(account.bytes(Memory::slack), 3096u);
  arena.book(slot, 1024, true);
  EXPECT_EQ(account.bytes(Memory::payload), 0u);
  EXPECT_EQ(account.bytes(Memory::header), 0u);
  EXPECT_EQ(account.bytes(Memory::replicas), 1280u);
  EXPECT_EQ(account.bytes(Memory::slack), 3072u);
  EXPECT_EQ(account.resident(), slot_cost(small));
  arena.give_back(slot);
  EXPECT_EQ(account.resident(), 0u);
  EXPECT_EQ(account.peak(), slot_cost(small));
  EXPECT_EQ(sum(account), account.total());
}

TEST_F(ArenaTest, GivingBackEmptiesTheHeaderAndStartsANewGenerationAtOnce) {
  Slot const slot = arena.take(0);
  EXPECT_EQ(arena.generation(slot), 1u);
  arena.header(slot).key.block = 7;
  arena.header(slot).generation = arena.generation(slot);
  seal(arena.header(slot), arena.payload(slot), small);
  ASSERT_EQ(verify_arrived(arena.header(slot), arena.payload(slot), 1, {}), Verdict::good);
  arena.give_back(slot);
  EXPECT_EQ(arena.generation(slot), 2u);
  EXPECT_EQ(verify_arrived(arena.header(slot), arena.payload(slot), 1, {}), Verdict::not_ready);
  EXPECT_EQ(arena.header(slot).key, PageKey{});
  EXPECT_EQ(arena.free_slots(0), 4u);
}

TEST_F(ArenaTest, ALatePutIntoASlotUsedAgainReadsAsAnotherGeneration) {
  Slot const slot = arena.take(0);
  arena.header(slot).generation = arena.generation(slot);
  seal(arena.header(slot), arena.payload(slot), small);
  PageHeader const late = arena.header(slot);
  arena.give_back(slot);
  arena.header(slot) = late;
  EXPECT_EQ(verify_arrived(arena.header(slot), arena.payload(slot), arena.generation(slot), {}), Verdict::wrong_generation);
}

TEST_F(ArenaTest, ARetiredSlotComesBackOnlyAfterAllTransfersOfItsStepAreOver) {
  Slot const first = arena.take(1), second = arena.take(1);
  arena.book(first, large.bytes(), false);
  arena.retire(first, 10);
  EXPECT_EQ(arena.generation(first), 2u);
  EXPECT_EQ(arena.account().resident(), 0u);
  EXPECT_EQ(arena.retired_slots(1), 1u);
  arena.reclaim(9);
  arena.reclaim(10);
  EXPECT_FALSE(arena.take(1).valid());
  arena.retire(second, 11);
  arena.reclaim(11);
  EXPECT_EQ(arena.free_slots(1), 1u);
  EXPECT_EQ(arena.retired_slots(1), 1u);
  EXPECT_EQ(arena.take(1), first);
  EXPECT_EQ(arena.generation(first), 2u);
  arena.reclaim(12);
  EXPECT_EQ(arena.take(1), second);
}

TEST_F(ArenaTest, UseAgainstTheLifeOfASlotIsRefused) {
  Slot const slot = arena.take(0);
  EXPECT_THROW(arena.book({2}, 1, false), std::logic_error);
  EXPECT_THROW(arena.book(slot, 4097, false), std::logic_error);
  arena.retire(slot, 1);
  EXPECT_THROW(arena.retire(slot, 1), std::logic_error);
  EXPECT_THROW(arena.give_back(slot), std::logic_error);
  EXPECT_THROW(arena.book(slot, 1, false), std::logic_error);
  EXPECT_THROW(arena.header({8}), std::logic_error);
  EXPECT_THROW((void)arena.generation({}), std::logic_error);
  EXPECT_THROW((void)arena.take(2), std::logic_error);
  EXPECT_EQ(sum(arena.account()), arena.account().total());
}

TEST_F(ArenaTest, NothingAllocatesAfterConstruction) {
  std::size_t const before = test::allocations();
  for (Step step = 0; step < 100; ++step) {
    for (Slot slot = arena.take(0); slot.valid(); slot = arena.take(0)) {
      arena.book(slot, small.bytes(), step % 2 == 0);
      arena.retire(slot, step);
    }
    arena.reclaim(step + 1);
    Slot const unused = arena.take(0);
    arena.give_back(unused);
  }
  EXPECT_EQ(test::allocations(), before);
  EXPECT_EQ(arena.free_slots(0), 4u);
}

TEST(Arena, ARankMayBringNoSlots) {
  test::FakeTransport transport;
  Arena arena{transport, {{small, 0}}};
  EXPECT_FALSE(arena.take(0).valid());
  EXPECT_EQ(arena.account().total(), 0u);
}

TEST(Arena, RandomLivesNeverHandOutASlotTwiceNorLoseOne) {
  test::FakeTransport transport;
  Arena arena{transport, {{small, 16}}};
  std::mt19937 random{3};
  std::vector<Slot> held;
  std::vector<std::uint64_t> generation(16, 1);
  std::vector<Step> retired_in(16, -1);
  Step oldest = 0;
  for (Step step = 0; step < 5000; ++step) {
    std::size_t const pick = held.empty() ? 0 : random() % held.size();
    switch (random() % 4) {
      case 0:
      case 1:
        if (Slot const slot = arena.take(0); slot.valid()) {
          auto const index = static_cast<std::size_t>(slot.index);
          ASSERT_EQ(std::count(held.begin(), held.end(), slot), 0);
          ASSERT_LT(retired_in[index], oldest);
          ASSERT_EQ(arena.generation(slot), generation[index]);
          arena.book(slot, 1 + random() % small.bytes(), random() % 2 == 0);
          held.push_back(slot);
        }
        break;
      case 2:
        if (held.empty()) break;
        ++generation[static_cast<std::size_t>(held[pick].index)];
        if (random() % 2 == 0) {
          arena.give_back(held[pick]);
        } else {
          arena.retire(held[pick], step);
          retired_in[static_cast<std::size_t>(held[pick].index)] = step;
        }
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(pick));
        break;
      default:
        oldest = std::max<Step>(oldest, step - static_cast<Step>(random() % 20));
        arena.reclaim(oldest);
    }
    ASSERT_EQ(held.size() + arena.free_slots(0) + arena.retired_slots(0), 16u);
    ASSERT_EQ(arena.account().resident(), held.size() * slot_cost(small));
    ASSERT_EQ(sum(arena.account()), transport.allocated());
  }
}

/// The ring of methods 1.3 in units of pages: when pages arrive in order and the oldest is retired for each newcomer.
class ArenaAsRing : public ::testing::TestWithParam<std::size_t> {};

TEST_P(ArenaAsRing, AppendNLosesExactlyPageNMinusSAndNothingElse) {
  std::size_t const capacity = GetParam();
  test::FakeTransport transport;
  Arena arena{transport, {{small, capacity}}};
  struct Handle {
    Slot slot;
    std::uint64_t generation;
  };
  std::vector<Handle> handles;
  auto const live = [&](std::size_t page) {
    Handle const& handle = handles[page];
    PageHeader const& header = arena.header(handle.slot);
    PageKey const key{.block = static_cast<Block>(page)};
    bool const generation_matches = arena.generation(handle.slot) == handle.generation;
    bool const verifies = verify(header, arena.payload(handle.slot), key, handle.generation, {}) == Verdict::good;
    EXPECT_EQ(generation_matches, verifies) << "page " << page;
    return verifies;
  };
  for (std::size_t n = 0; n < 5 * capacity + 3; ++n) {
    if (n >= capacity) {
      ASSERT_TRUE(live(n - capacity));
      arena.retire(handles[n - capacity].slot, static_cast<Step>(n));
      ASSERT_FALSE(live(n - capacity));
      arena.reclaim(static_cast<Step>(n + 1));
    }
    Slot const slot = arena.take(0);
    ASSERT_EQ(slot.index, static_cast<std::int32_t>(n % capacity));
    ASSERT_EQ(arena.generation(slot), n / capacity + 1);
    handles.push_back({slot, arena.generation(slot)});
    PageHeader& header = arena.header(slot);
    header.key = {.block = static_cast<Block>(n)};
    header.generation = arena.generation(slot);
    std::memset(arena.payload(slot).data(), static_cast<int>(n & 0xFF), small.bytes());
    seal(header, arena.payload(slot), small);
    for (std::size_t page = 0; page <= n; ++page) ASSERT_EQ(live(page), page + capacity > n) << "page " << page << " after append " << n;
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, ArenaAsRing, ::testing::Values(1, 2, 3, 8));

}  // namespace
}  // namespace pikv::shards
