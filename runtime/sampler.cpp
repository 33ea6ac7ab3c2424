#include "runtime/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "comm/error.hpp"
#include "shards/mix.hpp"

namespace pikv::runtime {
namespace {

std::int32_t largest_of(std::span<float const> logits) {
  std::size_t best = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (!std::isfinite(logits[i]))
      throw RunError("the model gave a logit that is not finite; its weights or its cached keys are damaged, run with --kv-dtype f32 to tell which");
    if (logits[i] > logits[best]) best = i;
  }
  return static_cast<std::int32_t>(best);
}

/// The ids by descending weight, found one at a time: a draw rarely looks at more than a few.
class Descending {
 public:
  Descending(std::vector<std::int32_t>& order, std::vector<double> const& weight) : order_{order}, lighter_{weight} {
    std::iota(order_.begin(), order_.end(), 0);
    std::make_heap(order_.begin(), order_.end(), lighter_);
  }

  std::int32_t operator[](std::size_t place) {
    for (; found_ <= place; ++found_) std::pop_heap(order_.begin(), order_.end() - static_cast<std::ptrdiff_t>(found_), lighter_);
    return order_[order_.size() - 1 - place];
  }

  double weight(std::size_t place) { return lighter_.weight[static_cast<std::size_t>((*this)[place])]; }

 private:
  struct Lighter {
    std::vector<double> const& weight;
    bool operator()(std::int32_t a, std::int32_t b) const {
      double const weight_a = weight[static_cast<std::size_t>(a)], weight_b = weight[static_cast<std::size_t>(b)];
      return weight_a != weight_b ? weight_a < weight_b : a > b;
    }
  };

  std::vector<std::int32_t>& order_;   // a heap, and behind it the ids found, the largest last
  Lighter lighter_;
  std::size_t found_ = 0;
};

}   // namespace

Sampler::Sampler(std::int32_t vocab) : order_(static_cast<std::size_t>(vocab)), weight_(static_cast<std::size_t>(vocab)) {}

std::int32_t Sampler::sample(std::span<float const> logits, SamplingOptions const& options, std::uint64_t request, std::uint64_t index) {
  std::int32_t const largest = largest_of(logits);
  if (options.temperature == 0) return largest;
  double const peak = logits[static_cast<std::size_t>(largest)];
  for (std::size_t i = 0; i < weight_.size(); ++i) weight_[i] = std::exp((logits[i] - peak) / options.temperature);
  return draw(options, counter_uniform(options.seed, request, index));
}

std::int32_t Sampler::draw(SamplingOptions const& options, double uniform) {
  Descending ids{order_, weight_};
  auto kept = order_.size();
  if (options.top_k > 0) kept = std::min(kept, static_cast<std::size_t>(options.top_k));

  double mass = 0;
  if (kept < order_.size())
    for (std::size_t i = 0; i < kept; ++i) mass += ids.weight(i);
  else
    mass = std::accumulate(weight_.begin(), weight_.end(), 0.0);

  if (options.top_p < 1) {
    double const enough = mass * options.top_p;
    mass = ids.weight(0);
    std::size_t count = 1;
    while (mass < enough && count < kept) mass += ids.weight(count++);
    kept = count;
  }

  double const target = uniform * mass;
  double reached = 0;
  std::size_t drawn = 0;
  for (; drawn + 1 < kept; ++drawn) {
    reached += ids.weight(drawn);
    if (reached > target) break;
  }
  while (ids.weight(drawn) == 0) --drawn;   // sums in another order may differ in the last bit
  return ids[drawn];
}

double counter_uniform(std::uint64_t seed, std::uint64_t request, std::uint64_t index) {
  std::uint64_t const bits = shards::mix(shards::mix(shards::mix(seed) ^ request) ^ index);
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

}   // namespace pikv::runtime
