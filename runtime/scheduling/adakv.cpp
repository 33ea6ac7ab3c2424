#include "runtime/scheduling/adakv.hpp"

#include <algorithm>
#include <numeric>

namespace pikv::runtime {
namespace {

struct Entry {
  float score;
  std::int32_t page, head;
};

bool stays_before(Entry const& a, Entry const& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.page != b.page ? a.page > b.page : a.head < b.head;
}

std::int64_t sum(std::vector<std::int64_t> const& counts) { return std::accumulate(counts.begin(), counts.end(), std::int64_t{0}); }

/// Adds to `counts` how many of the best `n` entries are each head's.
void add_best(std::vector<Entry>& entries, std::int64_t n, std::vector<std::int64_t>& counts) {
  auto const end = entries.begin() + std::min<std::ptrdiff_t>(n, std::ssize(entries));
  std::nth_element(entries.begin(), end, entries.end(), stays_before);
  std::for_each(entries.begin(), end, [&](Entry const& entry) { ++counts[static_cast<std::size_t>(entry.head)]; });
}

std::vector<Entry> entries_of(std::vector<float> const& scores, std::int32_t head) {
  std::vector<Entry> entries;
  for (float const score : scores) entries.push_back({score, static_cast<std::int32_t>(entries.size()), head});
  return entries;
}

/// Scales `counts` towards their mean; what rounding down loses goes to the largest remainders.
void blend(std::vector<std::int64_t>& counts, double mean, double alpha, std::int64_t total) {
  std::vector<double> remainder(counts.size());
  for (std::size_t head = 0; head < counts.size(); ++head) {
    double const wanted = (1 - alpha) * static_cast<double>(counts[head]) + alpha * mean;
    counts[head] = static_cast<std::int64_t>(wanted + 1e-9);
    remainder[head] = wanted - static_cast<double>(counts[head]);
  }
  std::vector<std::size_t> order(counts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return remainder[a] > remainder[b]; });
  std::int64_t const left = total - sum(counts);
  for (std::int64_t i = 0; i < left; ++i) ++counts[order[static_cast<std::size_t>(i) % order.size()]];
}

class AdaKv final : public SnapKv {
 public:
  AdaKv(LayerShape const& shape, AdaKvOptions const& options) : SnapKv{shape, options.base}, options_{options} {}

  std::vector<std::int64_t> budgets(std::span<std::vector<Block> const> pages, Budget const& budget) override {
    std::vector<std::vector<float>> scores;
    for (std::vector<Block> const& of_table : pages) {
      auto const table = static_cast<std::int32_t>(scores.size());
      utilities(table, of_table, budget, scores.emplace_back(of_table.size()));
    }
    std::int64_t const total = budget.tokens * std::ssize(pages) / shape().page_tokens;
    auto counts = adakv_budgets(scores, total, options_.alpha, options_.safeguard);
    for (std::int64_t& count : counts) count *= shape().page_tokens;
    return counts;
  }

 private:
  AdaKvOptions options_;
};

}   // namespace

std::vector<std::int64_t> adakv_budgets(std::span<std::vector<float> const> scores, std::int64_t total, double alpha, Safeguard safeguard) {
  std::vector<std::int64_t> counts(scores.size(), 0);
  auto const heads = std::ssize(scores);
  std::int64_t const mean = total / heads;
  auto const least =
      safeguard == Safeguard::protect_best && mean > 0 ? std::max<std::int64_t>(1, static_cast<std::int64_t>(alpha * static_cast<double>(mean))) : 0;
  std::vector<Entry> rest;
  for (std::size_t head = 0; head < scores.size(); ++head) {
    auto entries = entries_of(scores[head], static_cast<std::int32_t>(head));
    add_best(entries, least, counts);
    rest.insert(rest.end(), entries.begin() + counts[head], entries.end());
  }
  add_best(rest, total - sum(counts), counts);
  if (safeguard == Safeguard::blend) {
    std::int64_t const granted = sum(counts);
    blend(counts, static_cast<double>(granted) / static_cast<double>(heads), alpha, granted);
  }
  return counts;
}

std::unique_ptr<Scheduler> make_adakv(SchedulerMaterial const& material, AdaKvOptions const& options) {
  return std::make_unique<AdaKv>(material.shape, options);
}

}   // namespace pikv::runtime
