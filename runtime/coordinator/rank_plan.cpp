#include "runtime/coordinator/rank_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>

#include "comm/error.hpp"

namespace pikv::runtime {
namespace {

constexpr shards::Step the_start = std::numeric_limits<shards::Step>::min();
constexpr char const* form = R"(write a list like [{"step": 100, "action": "drain", "rank": 2}])";

std::int64_t whole(nlohmann::json const& entry, char const* key, std::string const& where) {
  if (!entry.contains(key) || !entry[key].is_number_integer() || entry[key] < 0)
    throw InputError(fmt::format("{} has no whole number of 0 or more as \"{}\"; {}", where, key, form));
  return entry[key].get<std::int64_t>();
}

}  // namespace

RankPlan::RankPlan(int ranks, int active) {
  std::vector<bool> storing(static_cast<std::size_t>(ranks), false);
  std::fill_n(storing.begin(), active, true);
  changes_.push_back({the_start, storing});
}

void RankPlan::read(std::string const& text, std::string const& said) {
  auto const json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_array()) throw InputError(fmt::format("{} is no JSON list; {}", said, form));
  int number = 0;
  for (auto const& entry : json) {
    std::string const where = fmt::format("entry {} of {}", ++number, said);
    if (!entry.is_object() || !entry.contains("action") || (entry["action"] != "drain" && entry["action"] != "join"))
      throw InputError(fmt::format("{} has no \"action\" that is drain or join; {}", where, form));
    for (auto const& [key, value] : entry.items())
      if (key != "step" && key != "action" && key != "rank") throw InputError(fmt::format("{} has an unknown key \"{}\"; {}", where, key, form));
    shards::Step const step = whole(entry, "step", where);
    std::int64_t const rank = whole(entry, "rank", where);
    bool const joins = entry["action"] == "join";
    Change next = changes_.back();
    if (step < next.step) throw InputError(fmt::format("{} is of step {}, after one of step {}; put them in order", where, step, next.step));
    if (rank >= static_cast<std::int64_t>(next.storing.size()))
      throw InputError(fmt::format("{} names rank {}, but the job has {} ranks, from 0 on; name one of these", where, rank, next.storing.size()));
    if (next.storing[static_cast<std::size_t>(rank)] == joins)
      throw InputError(fmt::format("{} {}s rank {}, which {} then; leave it out", where, joins ? "join" : "drain", rank, joins ? "stores pages already" : "stores no pages"));
    next.step = step;
    next.storing[static_cast<std::size_t>(rank)] = joins;
    if (std::ranges::none_of(next.storing, [](bool s) { return s; }))
      throw InputError(fmt::format("{} drains the last rank that stores pages; let another join first", where));
    if (changes_.back().step == step) changes_.back() = next;
    else changes_.push_back(next);
  }
}

std::vector<bool> const& RankPlan::storing(shards::Step step) const {
  auto const after = std::ranges::find_if(changes_, [&](Change const& change) { return change.step > step; });
  return std::prev(after)->storing;
}

int RankPlan::least_storing() const {
  auto least = changes_.front().storing.size();
  for (Change const& change : changes_) least = std::min(least, static_cast<std::size_t>(std::ranges::count(change.storing, true)));
  return static_cast<int>(least);
}

}  // namespace pikv::runtime
