#include "shards/placement.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "comm/error.hpp"
#include "shards/mix.hpp"

namespace pikv::shards {
namespace {

__extension__ using Wide = unsigned __int128;

double score(Bucket bucket, std::size_t rank, std::uint64_t weight) {
  std::uint64_t const hash = mix(mix(static_cast<std::uint64_t>(bucket)) ^ mix(rank + 0x5bd1e995u));
  double const u = (static_cast<double>(hash >> 11) + 0.5) * 0x1p-53;
  return -static_cast<double>(weight) / std::log(u);
}

/// ceil((1 + epsilon) * buckets * w / sum w) of each rank, epsilon in millionths, so that the division is exact.
std::vector<Bucket> caps(PlacementOptions const& options) {
  Wide sum = 0;
  for (std::uint64_t const weight : options.weights) sum += weight;
  constexpr Wide millionth = 1'000'000;
  auto const share = static_cast<Wide>(std::llround((1 + options.epsilon) * 1e6)) * static_cast<Wide>(options.buckets);
  std::vector<Bucket> cap;
  for (std::uint64_t const weight : options.weights) {
    Wide const exact = (share * weight + sum * millionth - 1) / (sum * millionth);
    cap.push_back(static_cast<Bucket>(std::min<Wide>(exact, static_cast<Wide>(options.buckets))));
  }
  return cap;
}

}  // namespace

Placement::Placement(PlacementOptions const& options) : options_{options} {
  auto const& weights = options_.weights;
  choices_ = static_cast<int>(std::ranges::count_if(weights, [](std::uint64_t weight) { return weight > 0; }));
  if (choices_ == 0) throw InputError("no rank has memory for KV pages; raise --kv-budget");
  if (options_.buckets < 1 || options_.epsilon < 0) throw std::logic_error("placement: no buckets, or a cap below an equal share");

  std::vector<Bucket> order(static_cast<std::size_t>(options_.buckets));
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [](Bucket bucket) { return mix(static_cast<std::uint64_t>(bucket) ^ 0xABCDEFu); });

  std::vector<Bucket> room = options_.bounded ? caps(options_) : std::vector<Bucket>(weights.size(), options_.buckets);
  place_of_bucket_.assign(order.size(), -1);
  for (std::size_t i = 0; i < options_.places.size(); ++i) {
    BucketPlace const& place = options_.places[i];
    bool sound = place.bucket >= 0 && place.bucket < options_.buckets && place.parts >= 1 && static_cast<std::size_t>(place.parts) <= most_parts;
    for (std::size_t part = 0; sound && part < static_cast<std::size_t>(place.parts); ++part)
      sound = place.ranks[part] >= 0 && static_cast<std::size_t>(place.ranks[part]) < weights.size() && weights[static_cast<std::size_t>(place.ranks[part])] > 0;
    if (!sound) throw std::logic_error("placement: a bucket is placed on a rank that stores nothing");
    place_of_bucket_[static_cast<std::size_t>(place.bucket)] = static_cast<std::int16_t>(i);
  }
  owners_.resize(order.size());
  for (Bucket const bucket : order) {
    std::size_t best = weights.size();
    double best_score = 0;
    for (std::size_t rank = 0; rank < weights.size(); ++rank) {
      if (weights[rank] == 0 || room[rank] == 0) continue;
      double const its = score(bucket, rank, weights[rank]);
      if (best == weights.size() || its > best_score) {
        best = rank;
        best_score = its;
      }
    }
    --room[best];
    owners_[static_cast<std::size_t>(bucket)] = static_cast<comm::Rank>(best);
  }
}

comm::Rank Placement::owner(Bucket bucket, std::uint64_t block) const {
  std::int16_t const at = place_of_bucket_[static_cast<std::size_t>(bucket)];
  if (at < 0) return owners_[static_cast<std::size_t>(bucket)];
  BucketPlace const& place = options_.places[static_cast<std::size_t>(at)];
  return place.ranks[mix(block) % static_cast<std::uint64_t>(place.parts)];   // mixed: the block's hash has chosen the bucket already
}

comm::Rank Placement::choice(Bucket bucket, int n, std::uint64_t block) const {
  if (n < 0 || n >= choices_) throw std::logic_error("placement: fewer ranks store pages than the choice asked for");
  comm::Rank const first = owner(bucket, block);
  comm::Rank chosen = first;
  double last_score = INFINITY;
  comm::Rank last = -1;
  for (int i = 0; i < n; ++i) {
    double best_score = 0;
    comm::Rank best = -1;
    for (std::size_t rank = 0; rank < options_.weights.size(); ++rank) {
      auto const candidate = static_cast<comm::Rank>(rank);
      if (options_.weights[rank] == 0 || candidate == first) continue;
      double const its = score(bucket, rank, options_.weights[rank]);
      bool const had_its_turn = its > last_score || (its == last_score && candidate <= last);
      if (had_its_turn) continue;
      if (best < 0 || its > best_score) {
        best = candidate;
        best_score = its;
      }
    }
    chosen = last = best;
    last_score = best_score;
  }
  return chosen;
}

}  // namespace pikv::shards
