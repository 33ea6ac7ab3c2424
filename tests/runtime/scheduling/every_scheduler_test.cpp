#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>

#include "runtime/scheduling/selections.hpp"
#include "tests/runtime/scheduling/driver.hpp"

namespace pikv::test {
namespace {

std::int64_t constexpr prompt = 400, end = 640;
std::int32_t constexpr kv_heads = 2, q_heads = 4, head_dim = 8;

std::vector<std::string_view> names() {
  std::vector<std::string_view> names;
  for (auto const& [name, entry] : schedulers())
    if (entry.make) names.push_back(name);
  for (auto const& [name, entry] : selections()) names.push_back(name);
  return names;
}

/// What every policy must hold to (methods 4.0), on a stream with random attention: a prompt in chunks, then decoding.
class EveryScheduler : public ::testing::TestWithParam<std::tuple<std::string_view, std::int32_t>> {
 protected:
  SchedulerEntry const& entry() const { return policy_named(std::get<0>(GetParam())); }
  std::int32_t page_tokens() const { return std::get<1>(GetParam()); }
  LayerShape shape() const {
    std::int32_t const tables = entry().by_head ? kv_heads : 1;
    return {.layer = 2,
            .layers = 4,
            .tables = tables,
            .kv_heads = kv_heads / tables,
            .q_heads = q_heads / tables,
            .head_dim = head_dim,
            .page_tokens = page_tokens()};
  }
  std::unique_ptr<Scheduler> make() const {
    return entry().make(
        {.shape = shape(), .summaries = entry().summaries ? std::span<PageSummaries const>{summaries_} : std::span<PageSummaries const>{}});
  }

  /// Reads of every page by rows [from, to): random shares that sum to 1 in each row and head.
  void step(Scheduler& scheduler, std::mt19937& random, std::int64_t from, std::int64_t to) const {
    auto const pages = blocks(shards::blocks_for(to, page_tokens()));
    auto const rows = static_cast<std::size_t>(to - from), heads = static_cast<std::size_t>(shape().q_heads);
    std::uniform_real_distribution<float> uniform;
    for (std::int32_t table = 0; table < shape().tables; ++table) {
      std::vector<float> mass(pages.size() * rows * heads, 0), q(heads * head_dim);
      for (std::size_t row = 0; row < rows; ++row) {
        auto const position = from + static_cast<std::int64_t>(row);
        for (float& x : q) x = uniform(random) - .5f;
        if (entry().queries) scheduler.query(table, position, q);
        auto const visible = static_cast<std::size_t>(shards::blocks_for(position + 1, page_tokens()));
        for (std::size_t head = 0; head < heads; ++head) {
          float sum = 0;
          for (std::size_t page = 0; page < visible; ++page) sum += mass[(page * rows + row) * heads + head] = std::pow(uniform(random), 8.f);
          for (std::size_t page = 0; page < visible; ++page) mass[(page * rows + row) * heads + head] /= sum;
        }
      }
      if (entry().masses)
        scheduler.read({.table = table, .first_position = from, .rows = static_cast<std::int32_t>(rows), .pages = pages, .mass = mass});
    }
    scheduler.tick();
  }

  std::unique_ptr<Scheduler> played() const {
    auto scheduler = make();
    std::mt19937 random{17};
    scheduler->begin(prompt);
    for (std::int64_t from = 0; from < prompt; from += 96) step(*scheduler, random, from, std::min(prompt, from + 96));
    for (std::int64_t position = prompt; position < end; ++position) step(*scheduler, random, position, position + 1);
    return scheduler;
  }

  /// Every table whole; first page and open page pinned.
  Tables held() const {
    auto pages = hold(blocks(shards::blocks_for(end, page_tokens())), page_tokens());
    pages.front().pinned = pages.back().pinned = true;
    return Tables(static_cast<std::size_t>(shape().tables), pages);
  }
  std::vector<PageSummaries> summaries_ = [this] {
    std::mt19937 random{23};
    std::uniform_real_distribution<float> uniform{-1, 1};
    std::vector<std::vector<float>> keys(static_cast<std::size_t>(shards::blocks_for(end, page_tokens())));
    for (auto& key : keys)
      for (std::int32_t i = 0; i < shape().kv_heads * head_dim; ++i) key.push_back(uniform(random));
    return std::vector<PageSummaries>(static_cast<std::size_t>(shape().tables), summaries_of(keys, shape().kv_heads));
  }();
  std::vector<std::vector<Block>> kept_of(Scheduler& scheduler, std::int64_t tokens, double redundancy = 0) const {
    return kept(scheduler, held(), {.length = end, .tokens = tokens}, summaries_, {.redundancy = redundancy});
  }
};

TEST_P(EveryScheduler, GivesUtilitiesBetweenZeroAndOneAtEveryMoment) {
  auto const scheduler = make();
  std::mt19937 random{17};
  auto const check = [&](std::int64_t length) {
    for (std::int32_t table = 0; table < shape().tables; ++table)
      for (float const u :
           utilities(*scheduler, blocks(shards::blocks_for(length, page_tokens()) + 1), {.length = length, .tokens = length / 2}, table))
        ASSERT_TRUE(u >= 0 && u <= 1) << u << " at length " << length;
  };
  check(0);
  scheduler->begin(prompt);
  for (std::int64_t from = 0; from < prompt; from += 96) {
    step(*scheduler, random, from, std::min(prompt, from + 96));
    check(std::min(prompt, from + 96));
  }
  for (std::int64_t position = prompt; position < end; ++position) {
    step(*scheduler, random, position, position + 1);
    check(position + 1);
  }
}

TEST_P(EveryScheduler, DecidesTheSameAfterTheSameEvents) {
  auto const one = played(), other = played();
  EXPECT_EQ(kept_of(*one, end / 2), kept_of(*other, end / 2));
  EXPECT_EQ(kept_of(*one, end / 2), kept_of(*one, end / 2)) << "asking changes nothing";
}

TEST_P(EveryScheduler, KeepsPinnedPagesAndWhatTheBudgetAllowsToThePage) {
  auto const scheduler = played();
  std::int64_t const tables = shape().tables, last = shards::blocks_for(end, page_tokens()) - 1;
  for (double const redundancy : {0., .5})
    for (std::int64_t const tokens : {std::int64_t{2} * page_tokens(), end / 4, end / 2, end - 1}) {
      std::int64_t sum = 0;
      for (auto const& pages : kept_of(*scheduler, tokens, redundancy)) {
        EXPECT_EQ(pages.front(), 0);
        EXPECT_EQ(pages.back(), last);
        sum += static_cast<std::int64_t>(pages.size()) * page_tokens();
      }
      EXPECT_LE(sum, tables * tokens);
      EXPECT_GT(sum, tables * (tokens - page_tokens())) << "of " << tokens;
    }
}

/// One is saved in the middle, of the prompt or after it, and another goes on from that: they decide alike from then on.
TEST_P(EveryScheduler, GoesOnAfterARestoreAsIfNothingHadHappened) {
  for (std::int64_t const saved : {std::int64_t{96}, prompt + 70}) {
    auto const one = make(), other = make();
    std::mt19937 random{17};
    auto const play = [&](Scheduler& scheduler, std::mt19937& numbers, std::int64_t from, std::int64_t to) {
      for (; from < std::min(prompt, to); from = std::min(prompt, from + 96)) step(scheduler, numbers, from, std::min(prompt, from + 96));
      for (; from < to; ++from) step(scheduler, numbers, from, from + 1);
    };
    one->begin(prompt);
    other->begin(prompt);
    play(*one, random, 0, saved);
    one->forget(0, 1);
    StateWriter out;
    one->save(out);
    std::string const bytes = out.take();
    StateReader in{bytes};
    other->restore(in);
    EXPECT_TRUE(in.empty());
    auto then = random;
    play(*one, random, saved, end);
    play(*other, then, saved, end);
    EXPECT_EQ(kept_of(*one, end / 4), kept_of(*other, end / 4)) << "saved at " << saved;
    for (std::int32_t table = 0; table < shape().tables; ++table) {
      Budget const budget{.length = end, .tokens = end / 3};
      auto const all = blocks(shards::blocks_for(end, page_tokens()));
      EXPECT_EQ(utilities(*one, all, budget, table), utilities(*other, all, budget, table)) << "saved at " << saved;
    }
  }
}

TEST_P(EveryScheduler, RefusesAStateThatIsCutShort) {
  auto const scheduler = played();
  StateWriter out;
  scheduler->save(out);
  std::string const bytes = out.take();
  for (std::size_t const size : {std::size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
    if (size >= bytes.size()) continue;   // without state
    auto const other = make();
    StateReader in{std::string_view{bytes}.substr(0, size)};
    EXPECT_THROW(other->restore(in), RunError) << size << " of " << bytes.size() << " bytes";
  }
}

TEST_P(EveryScheduler, KeepsEverythingThatFits) {
  auto const scheduler = played();
  for (auto const& pages : kept_of(*scheduler, end)) EXPECT_EQ(pages.size(), held().front().size());
}

TEST_P(EveryScheduler, TakesAForgottenPageForANewOne) {
  if (!entry().masses || entry().by_head) return;   // goes by position too
  auto const scheduler = played();
  Block const page = shards::block_of(prompt / 2, page_tokens()), never_seen = 10'000;
  scheduler->forget(0, page);
  Budget const budget{.length = end, .tokens = end / 2};
  float const u = utilities(*scheduler, {page}, budget)[0];
  if (entry().replays) {
    EXPECT_EQ(u, utilities(*scheduler, {never_seen}, budget)[0]);
  } else {
    EXPECT_LE(u, .5f) << "nothing gave a new page attention";
  }
}

TEST_P(EveryScheduler, RefusesAMassThatIsNotANumberAndAReadingOfAnotherShape) {
  if (!entry().masses) return;   // sees no reading
  auto const scheduler = make();
  scheduler->begin(1);
  std::vector<Block> const pages{0};
  std::vector<float> mass(static_cast<std::size_t>(shape().q_heads), .5f);
  scheduler->read({.first_position = 0, .rows = 1, .pages = pages, .mass = mass});
  EXPECT_THROW(scheduler->read({.first_position = 0, .rows = 2, .pages = pages, .mass = mass}), std::logic_error);
  EXPECT_THROW(scheduler->read({.table = shape().tables, .first_position = 0, .rows = 1, .pages = pages, .mass = mass}), std::logic_error);
  mass.back() = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(scheduler->read({.first_position = 0, .rows = 1, .pages = pages, .mass = mass}), std::logic_error);
}

std::string name_of(::testing::TestParamInfo<std::tuple<std::string_view, std::int32_t>> const& info) {
  return std::string{std::get<0>(info.param)} + "_pages_of_" + std::to_string(std::get<1>(info.param));
}
INSTANTIATE_TEST_SUITE_P(Table, EveryScheduler, ::testing::Combine(::testing::ValuesIn(names()), ::testing::Values(1, 16)), name_of);

}   // namespace
}   // namespace pikv::test
