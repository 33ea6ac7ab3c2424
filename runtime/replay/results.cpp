#include "runtime/replay/results.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "runtime/replay/policies.hpp"

namespace pikv::runtime::replay {
namespace {

std::optional<double> rate(std::int64_t hits, std::int64_t reads) {
  if (reads == 0) return std::nullopt;
  return static_cast<double>(hits) / static_cast<double>(reads);
}

std::string percent(std::int64_t hits, std::int64_t reads) {
  auto const share = rate(hits, reads);
  return share ? fmt::format("{:.2f} %", 100 * *share) : "n/a";
}

std::string plain(std::optional<double> share) { return share ? fmt::format("{}", *share) : ""; }

Score const& best_at(std::span<Result const> results, Page capacity) {
  return std::ranges::find_if(results, [&](Result const& result) { return result.capacity == capacity && result.policy == best; })->score;
}

}   // namespace

std::vector<Result> replay_all(Reads const& reads, std::span<std::string const> policy_names, std::span<Page const> capacities) {
  std::vector<std::string> names{std::string{usual}};
  for (std::string const& name : policy_names)
    if (name != best && std::ranges::find(names, name) == names.end()) names.push_back(name);
  names.emplace_back(best);
  std::vector<Result> results;
  for (Page const capacity : capacities)
    for (std::string const& name : names) results.push_back({name, capacity, replay(*policies().at(name).make(reads, capacity), reads)});
  return results;
}

std::string table_text(std::span<Result const> results) {
  std::string text = fmt::format("{:>10}  {:<16} {:>12} {:>12} {:>12} {:>10} {:>12} {:>10}\n", "capacity", "policy", "reads", "hits", "misses",
                                 "hit rate", "prefix hits", "to belady");
  for (std::size_t i = 0; i < results.size(); ++i) {
    auto const& [policy, capacity, score] = results[i];
    bool const is_first = i == 0 || results[i - 1].capacity != capacity;
    text += fmt::format("{:>10}  {:<16} {:>12} {:>12} {:>12} {:>10} {:>12} {:>10}\n", is_first ? std::to_string(capacity) : "", policy, score.reads,
                        score.hits, score.misses(), percent(score.hits, score.reads), percent(score.prefix_hits, score.reads),
                        percent(best_at(results, capacity).hits - score.hits, score.reads));
  }
  return text;
}

std::string csv_of(std::span<Result const> results) {
  std::string text = "policy,capacity,reads,hits,misses,hit_rate,prefix_hits\n";
  for (auto const& [policy, capacity, score] : results)
    text += fmt::format("{},{},{},{},{},{},{}\n", policy, capacity, score.reads, score.hits, score.misses(), plain(rate(score.hits, score.reads)),
                        score.prefix_hits);
  return text;
}

nlohmann::ordered_json json_of(std::span<Result const> results) {
  auto list = nlohmann::ordered_json::array();
  for (auto const& [policy, capacity, score] : results) {
    auto const share = rate(score.hits, score.reads);
    list.push_back({{"policy", policy},
                    {"capacity", capacity},
                    {"reads", score.reads},
                    {"hits", score.hits},
                    {"misses", score.misses()},
                    {"hit_rate", share ? nlohmann::ordered_json(*share) : nlohmann::ordered_json()},
                    {"prefix_hits", score.prefix_hits}});
  }
  return list;
}

std::string csv_of(LruCurve const& curve, std::int64_t reads) {
  std::string text = "capacity,hits,hit_rate,prefix_hits\n";
  for (std::size_t capacity = 1; capacity < curve.hits.size(); ++capacity)
    text += fmt::format("{},{},{},{}\n", capacity, curve.hits[capacity], plain(rate(curve.hits[capacity], reads)), curve.prefix_hits[capacity]);
  return text;
}

}   // namespace pikv::runtime::replay
