#include "runtime/checkpoint/format.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/checkpoint/digest.hpp"
#include "sample.hpp"
#include "tests/runtime/trace/trace_cases.hpp"

namespace pikv::runtime {
namespace {

using ::testing::HasSubstr;

std::string error_of_unpacking(PackedRequests const& packed) {
  return test::error_of([&] { (void)unpack(packed); });
}

TEST(CheckpointFormat, RequestsComeBackAsTheyWere) {
  auto const before = test::sample_requests();
  auto const after = unpack(pack(before));
  ASSERT_EQ(after.size(), before.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i].request.index, before[i].request.index);
    EXPECT_EQ(after[i].request.id, before[i].request.id);
    EXPECT_EQ(after[i].request.prompt, before[i].request.prompt);
    EXPECT_EQ(after[i].request.max_new_tokens, before[i].request.max_new_tokens);
    EXPECT_EQ(after[i].request.stop, before[i].request.stop);
    EXPECT_EQ(after[i].request.arrival_s, before[i].request.arrival_s);
    EXPECT_EQ(after[i].request.refused, before[i].request.refused);
    EXPECT_EQ(after[i].phase, before[i].phase);
    EXPECT_EQ(after[i].result.tokens, before[i].result.tokens);
    EXPECT_EQ(after[i].result.error, before[i].result.error);
    EXPECT_EQ(after[i].result.prompt_tokens, before[i].result.prompt_tokens);
    EXPECT_EQ(after[i].stream, before[i].stream);
    EXPECT_EQ(after[i].length, before[i].length);
    if (before[i].phase == Phase::done) {
      EXPECT_EQ(after[i].result.finish, before[i].result.finish);
    }
  }
}

TEST(CheckpointFormat, NoRequestsAreNone) { EXPECT_TRUE(unpack(pack({})).empty()); }

TEST(CheckpointFormat, RowsThatPointElsewhereAreRefused) {
  auto const damages = {
      +[](RequestRow& row) { row.first_token_at += 1; },
      +[](RequestRow& row) { row.first_token_at = -1; },
      +[](RequestRow& row) { row.prompt_tokens = 1 << 30; },
      +[](RequestRow& row) { row.generated = -1; },
      +[](RequestRow& row) { row.generated = 0x7FFFFFFF; },
      +[](RequestRow& row) { row.id_bytes = std::int64_t{1} << 62; },
      +[](RequestRow& row) { row.id_at = -5; },
      +[](RequestRow& row) { row.stop_bytes -= 1; },
      +[](RequestRow& row) { row.error_at = 0x7FFFFFFFFFFFFFFF; },
      +[](RequestRow& row) { row.refused_bytes = -9; },
  };
  int number = 0;
  for (auto const& damage : damages) {
    auto packed = pack(test::sample_requests());
    damage(packed.rows[1]);
    EXPECT_THAT(error_of_unpacking(packed), HasSubstr("RunError: ")) << number++;
  }
}

TEST(CheckpointFormat, NamesThatDoNotExistAreRefused) {
  auto packed = pack(test::sample_requests());
  packed.rows[0].finish = {'m', 'a', 'y', 'b', 'e'};
  EXPECT_THAT(error_of_unpacking(packed), HasSubstr("'maybe' in /requests"));
  packed = pack(test::sample_requests());
  packed.rows[2].phase = {};
  EXPECT_THAT(error_of_unpacking(packed), HasSubstr("'' in /requests"));
}

TEST(CheckpointFormat, RequestsOutOfOrderOrMissingAreRefused) {
  auto packed = pack(test::sample_requests());
  std::swap(packed.rows[0], packed.rows[1]);
  EXPECT_THAT(error_of_unpacking(packed), HasSubstr("every request in order"));
  packed = pack(test::sample_requests());
  packed.rows.pop_back();
  EXPECT_THAT(error_of_unpacking(packed), HasSubstr("holds more than"));
}

TEST(CheckpointFormat, TheDigestChangesWithEveryBitOfTheTables) {
  auto const packed = pack(test::sample_requests());
  std::vector<PageRow> const pages(2);
  auto const before = tables_digest(test::sample_facts(), packed, pages);
  EXPECT_EQ(before.size(), 16u);
  auto const other = [&](auto const& change) {
    auto facts = test::sample_facts();
    auto requests = packed;
    auto rows = pages;
    change(facts, requests, rows);
    return tables_digest(facts, requests, rows);
  };
  EXPECT_EQ(other([](auto&, auto&, auto&) {}), before);
  EXPECT_EQ(other([](auto& facts, auto&, auto&) { std::swap(facts.options[0], facts.options[1]); }), before);   // HDF5 keeps no order
  EXPECT_NE(other([](auto& facts, auto&, auto&) { facts.options[0].value = std::string{"f16"}; }), before);
  EXPECT_NE(other([](auto& facts, auto&, auto&) { facts.clock_s += 1e-9; }), before);
  EXPECT_NE(other([](auto& facts, auto&, auto&) { facts.model.pop_back(); }), before);
  EXPECT_NE(other([](auto&, auto& requests, auto&) { requests.tokens[3] ^= 1; }), before);
  EXPECT_NE(other([](auto&, auto& requests, auto&) { requests.text[0] ^= 1; }), before);
  EXPECT_NE(other([](auto&, auto& requests, auto&) { requests.rows[1].arrival = 0.25; }), before);
  EXPECT_NE(other([](auto&, auto&, auto& rows) { rows[1].generation = 1; }), before);
  EXPECT_NE(other([](auto&, auto&, auto& rows) { rows.pop_back(); }), before);
}

}   // namespace
}   // namespace pikv::runtime
