#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "comm/message.hpp"
#include "conformance.hpp"

namespace pikv::comm::test {
namespace {

constexpr std::size_t peer_bytes = 70'000;   // above what MPI sends eagerly

void fill(Exchange& exchange, World const& world, std::size_t bytes, Rank to, int round) {
  auto const message = pattern(bytes, world.rank(), to, round);
  std::ranges::copy(message, exchange.outgoing(to).append(bytes).begin());
}

void expect_incoming(Exchange const& exchange, World const& world, std::size_t bytes, Rank from, int round) {
  auto const message = exchange.incoming(from);
  auto const expected = pattern(bytes, from, world.rank(), round);
  EXPECT_TRUE(message.size() == bytes && (bytes == 0 || std::memcmp(message.data(), expected.data(), bytes) == 0))
      << message.size() << " bytes from rank " << from << " in round " << round << ", expected " << bytes;
}

template <typename SizeOf>
void run_round(Exchange& exchange, World& world, int round, SizeOf size_of) {
  for (Rank to = 0; to < world.size(); ++to) fill(exchange, world, size_of(world.rank(), to), to, round);
  exchange.start();
  ASSERT_EQ(exchange.finish(soon(world)), Status::arrived);
  for (Rank from = 0; from < world.size(); ++from) expect_incoming(exchange, world, size_of(from, world.rank()), from, round);
}

std::size_t some_size(Rank from, Rank to, int round) {
  std::mt19937 random{static_cast<unsigned>(round * 4096 + from * 64 + to)};
  std::size_t const sizes[] = {0, 1, 7, 8, 100, 4096, 5000, 69'999, peer_bytes};
  return sizes[random() % std::size(sizes)];
}

void messages_of_any_size_arrive_whole(World& world) {
  auto const exchange = world.make_exchange({"sizes", 1, peer_bytes});
  int const rounds = 4 + 36 / world.size();
  for (int round = 0; round < rounds; ++round)
    run_round(*exchange, world, round, [&](Rank from, Rank to) { return some_size(from, to, round); });
}

void empty_messages_are_messages(World& world) {
  auto const exchange = world.make_exchange({"empty", 1, 0});
  for (int round = 0; round < 5; ++round) run_round(*exchange, world, round, [](Rank, Rank) { return std::size_t{0}; });
  EXPECT_EQ(exchange->counts().messages, 5u * static_cast<unsigned>(world.size() - 1));
}

void the_worst_case_fits(World& world) {
  auto const exchange = world.make_exchange({"worst", 1, peer_bytes});
  for (int round = 0; round < 2; ++round) run_round(*exchange, world, round, [](Rank, Rank) { return peer_bytes; });
  EXPECT_GE(exchange->buffer_bytes(), 2 * peer_bytes * static_cast<std::size_t>(world.size()));
}

void a_message_that_is_too_large_throws(World& world) {
  auto const exchange = world.make_exchange({"large", 1, 100});
  (void)exchange->outgoing(0).append(60);
  EXPECT_THROW((void)exchange->outgoing(0).append(41), std::length_error);
  EXPECT_EQ(exchange->outgoing(0).size(), 60u);
}

void ranks_of_different_speed_stay_in_step(World& world) {
  auto const exchange = world.make_exchange({"speed", 1, 600});
  std::mt19937 random{static_cast<unsigned>(world.rank())};
  for (int round = 0; round < 300; ++round) {
    if (random() % 8 == 0) world.pause(1e-4);
    run_round(*exchange, world, round, [&](Rank from, Rank to) { return static_cast<std::size_t>(from + to + round); });
  }
}

void what_arrived_stays_while_faster_ranks_go_on(World& world) {
  auto const exchange = world.make_exchange({"stays", 1, peer_bytes});
  for (int round = 0; round < 3; ++round) {
    for (Rank to = 0; to < world.size(); ++to) fill(*exchange, world, 3000, to, round);
    exchange->start();
    ASSERT_EQ(exchange->finish(soon(world)), Status::arrived);
    for (Rank to = 0; to < world.size(); ++to) fill(*exchange, world, peer_bytes, to, 1000 + round);
    if (world.rank() % 2 == 1) world.pause(2e-3);
    for (Rank from = 0; from < world.size(); ++from) expect_incoming(*exchange, world, 3000, from, round);
    exchange->start();
    ASSERT_EQ(exchange->finish(soon(world)), Status::arrived);
    for (Rank from = 0; from < world.size(); ++from) expect_incoming(*exchange, world, peer_bytes, from, 1000 + round);
  }
}

void two_exchanges_may_be_under_way(World& world) {
  auto const first = world.make_exchange({"first", 1, 500});
  auto const second = world.make_exchange({"second", 2, 500});
  for (int round = 0; round < 10; ++round) {
    for (Rank to = 0; to < world.size(); ++to) {
      fill(*first, world, 100, to, round);
      fill(*second, world, 200, to, round + 500);
    }
    first->start();
    second->start();
    ASSERT_EQ(second->finish(soon(world)), Status::arrived);
    ASSERT_EQ(first->finish(soon(world)), Status::arrived);
    for (Rank from = 0; from < world.size(); ++from) {
      expect_incoming(*first, world, 100, from, round);
      expect_incoming(*second, world, 200, from, round + 500);
    }
  }
}

void values_and_arrays_are_aligned(World& world) {
  auto const exchange = world.make_exchange({"aligned", 1, 1000});
  for (int round = 0; round < 3; ++round) {
    for (Rank to = 0; to < world.size(); ++to) {
      MessageWriter writer{exchange->outgoing(to)};
      writer.value(std::int32_t{3});
      for (float& x : writer.reserve<float>(3)) x = 1.5f;
      double const numbers[] = {1.0, 2.0};
      writer.array(std::span<double const>{numbers});
    }
    exchange->start();
    ASSERT_EQ(exchange->finish(soon(world)), Status::arrived);
    for (Rank from = 0; from < world.size(); ++from) {
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(exchange->incoming(from).data()) % 8, 0u);
      MessageReader reader{exchange->incoming(from)};
      EXPECT_EQ(reader.value<std::int32_t>(), 3);
      EXPECT_EQ(reader.array<float>(3)[2], 1.5f);
      EXPECT_EQ(reader.array<double>(2)[1], 2.0);
      EXPECT_TRUE(reader.empty());
      EXPECT_THROW((void)reader.value<int>(), std::runtime_error);
    }
  }
}

void calls_out_of_turn_are_refused(World& world) {
  auto const exchange = world.make_exchange({"turns", 1, 8});
  EXPECT_THROW((void)exchange->finish(soon(world)), std::logic_error);
  exchange->start();
  EXPECT_THROW(exchange->start(), std::logic_error);
  EXPECT_EQ(exchange->finish(soon(world)), Status::arrived);
}

void options_that_differ_between_ranks_are_refused(World& world) {
  if (world.size() == 1) return;
  EXPECT_THROW((void)world.make_exchange({"differ", 1, world.rank() == 0 ? 8u : 16u}), std::logic_error);
}

void test_is_true_when_finish_would_not_wait(World& world) {
  auto const exchange = world.make_exchange({"test", 1, 8});
  for (int round = 0; round < 5; ++round) {
    exchange->start();
    ASSERT_EQ(world.wait([&] { return exchange->test(); }, soon(world)), Status::arrived);
    EXPECT_EQ(exchange->finish({world.now()}), Status::arrived);
  }
}

void counts_equal_their_formulas(World& world) {
  auto const exchange = world.make_exchange({"counts", 1, 5000});
  auto const size_of = [](Rank from, Rank to) { return static_cast<std::size_t>(from * 10 + to); };
  constexpr int rounds = 7;
  for (int round = 0; round < rounds; ++round) run_round(*exchange, world, round, size_of);
  std::uint64_t to_host = 0, to_remote = 0;
  for (Rank to = 0; to < world.size(); ++to) {
    if (to == world.rank()) continue;
    (world.host(to) == world.host(world.rank()) ? to_host : to_remote) += rounds * size_of(world.rank(), to);
  }
  ExchangeCounts const& counts = exchange->counts();
  EXPECT_EQ(counts.exchanges, 7u);
  EXPECT_EQ(counts.messages, 7u * static_cast<unsigned>(world.size() - 1));
  EXPECT_EQ(counts.bytes_to_host, to_host);
  EXPECT_EQ(counts.bytes_to_remote, to_remote);
  EXPECT_EQ(counts.bytes_to_self, rounds * size_of(world.rank(), world.rank()));
}

void a_round_allocates_nothing(World& world) {
  auto const exchange = world.make_exchange({"allocations", 1, peer_bytes});
  auto const bare_round = [&] {
    for (Rank to = 0; to < world.size(); ++to) {
      auto const message = exchange->outgoing(to).append(peer_bytes);
      std::memset(message.data(), 1, message.size() / static_cast<std::size_t>(world.size()));
    }
    exchange->start();
    return exchange->finish(soon(world));
  };
  for (int round = 0; round < 3; ++round) ASSERT_EQ(bare_round(), Status::arrived);
  std::uint64_t const before = allocations();
  for (int round = 0; round < 8; ++round) ASSERT_EQ(bare_round(), Status::arrived);
  EXPECT_EQ(allocations(), before);
}

void a_rank_that_does_not_start_is_blamed(World& world) {
  if (world.size() == 1) return;
  Rank const late = world.size() - 1;
  auto const exchange = world.make_exchange({"late", 1, peer_bytes});
  run_round(*exchange, world, 0, [](Rank, Rank) { return peer_bytes; });
  if (world.rank() != late) {
    exchange->start();
    EXPECT_FALSE(exchange->test());
    EXPECT_EQ(exchange->finish(world.in(0.2)), Status::timeout);
    EXPECT_EQ(exchange->blame(), std::vector<Rank>{late});
    EXPECT_THROW(exchange->start(), std::logic_error);
  }
  world.barrier(soon(world));
}

constexpr Case cases[] = {
    {"MessagesOfAnySizeArriveWhole", messages_of_any_size_arrive_whole},
    {"EmptyMessagesAreMessages", empty_messages_are_messages},
    {"TheWorstCaseFits", the_worst_case_fits},
    {"AMessageThatIsTooLargeThrows", a_message_that_is_too_large_throws},
    {"RanksOfDifferentSpeedStayInStep", ranks_of_different_speed_stay_in_step},
    {"WhatArrivedStaysWhileFasterRanksGoOn", what_arrived_stays_while_faster_ranks_go_on},
    {"TwoExchangesMayBeUnderWay", two_exchanges_may_be_under_way},
    {"ValuesAndArraysAreAligned", values_and_arrays_are_aligned},
    {"CallsOutOfTurnAreRefused", calls_out_of_turn_are_refused},
    {"OptionsThatDifferBetweenRanksAreRefused", options_that_differ_between_ranks_are_refused},
    {"TestIsTrueWhenFinishWouldNotWait", test_is_true_when_finish_would_not_wait},
    {"CountsEqualTheirFormulas", counts_equal_their_formulas},
    {"ARoundAllocatesNothing", a_round_allocates_nothing},
    {"ARankThatDoesNotStartIsBlamed", a_rank_that_does_not_start_is_blamed},
};

}  // namespace

std::span<Case const> exchange_cases() { return cases; }

}  // namespace pikv::comm::test
