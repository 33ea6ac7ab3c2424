#include "runtime/routing/scores.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace pikv::runtime {

void log_softmax(std::span<float const> z, std::span<float> log_p) {
  float top = -std::numeric_limits<float>::infinity();
  for (float const score : z) {
    if (std::isnan(score) || score == std::numeric_limits<float>::infinity()) throw std::logic_error("an affinity that is no number");
    top = std::max(top, score);
  }
  if (std::isinf(top)) {
    std::ranges::fill(log_p, -std::log(static_cast<float>(z.size())));
    return;
  }
  double sum = 0;
  for (float const score : z) sum += std::exp(double{score} - top);
  double const log_sum = top + std::log(sum);
  for (std::size_t e = 0; e < z.size(); ++e) log_p[e] = static_cast<float>(z[e] - log_sum);
}

void take_top(std::span<float const> scores, std::int32_t k, std::vector<KvExpert>& chosen) {
  if (k < 0 || static_cast<std::size_t>(k) > scores.size()) throw std::logic_error("asked for more experts than there are");
  if (std::ranges::any_of(scores, [](float score) { return std::isnan(score); })) throw std::logic_error("a score that is no number");
  chosen.resize(scores.size());
  std::iota(chosen.begin(), chosen.end(), 0);
  std::ranges::partial_sort(chosen, chosen.begin() + k, [&](KvExpert a, KvExpert b) {
    float const of_a = scores[static_cast<std::size_t>(a)], of_b = scores[static_cast<std::size_t>(b)];
    return of_a != of_b ? of_a > of_b : a < b;
  });
  chosen.resize(static_cast<std::size_t>(k));
}

void require_stats(ExpertStats const& stats, std::size_t experts) {
  for (auto const* values : {&stats.miss, &stats.flush, &stats.compression, &stats.distance, &stats.load})
    if (values->size() != experts) throw std::logic_error("statistics of another number of experts");
}

}  // namespace pikv::runtime
