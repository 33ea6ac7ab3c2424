#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/replay/cache.hpp"
#include "runtime/replay/stack_distance.hpp"

namespace pikv::runtime::replay {

/// Always replayed beside the policies asked for: the usual one, and the best possible.
constexpr std::string_view usual = "lru", best = "belady";

struct Result {
  std::string policy;
  Page capacity = 0;
  Score score;
};

/// Every policy at every capacity, by capacity: first `usual`, then those asked for in their order, each once, last `best`.
std::vector<Result> replay_all(Reads const& reads, std::span<std::string const> policy_names, std::span<Page const> capacities);

/// A line per result, with its distance to `best` at the same capacity.
std::string table_text(std::span<Result const> results);
/// policy,capacity,reads,hits,misses,hit_rate,prefix_hits; a rate of no reads is empty.
std::string csv_of(std::span<Result const> results);
/// The same as a list of objects; a rate of no reads is null.
nlohmann::ordered_json json_of(std::span<Result const> results);
/// capacity,hits,hit_rate,prefix_hits: a line per capacity from 1 to the number of pages.
std::string csv_of(LruCurve const& curve, std::int64_t reads);

}   // namespace pikv::runtime::replay
