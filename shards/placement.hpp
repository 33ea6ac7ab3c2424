#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "comm/rank.hpp"
#include "shards/bucket.hpp"
#include "shards/epoch.hpp"

namespace pikv::shards {

struct PlacementOptions {
  Bucket buckets = default_buckets;
  double epsilon = 0.05;                  // a rank holds at most ceil((1 + epsilon) * V * w_r / sum w) buckets
  bool bounded = true;
  std::vector<std::uint64_t> weights;     // per rank, integers so that every rank computes the same table; 0: takes none
  Epoch epoch = 1;
};

/// Table bucket -> rank by weighted, bounded rendezvous hashing (Thaler & Ravishankar 1998; methods 1.2). It says where new pages go
/// and moves none. A value: every rank computes the same one, without a message.
class Placement {
 public:
  explicit Placement(PlacementOptions const& options);

  comm::Rank owner(Bucket bucket) const { return owners_[static_cast<std::size_t>(bucket)]; }
  /// The n-th choice for a bucket: 0 is owner(), then the other ranks by falling score. n < ranks with weight > 0.
  comm::Rank choice(Bucket bucket, int n) const;
  int choices() const { return choices_; }
  Epoch epoch() const { return options_.epoch; }
  Bucket buckets() const { return options_.buckets; }

 private:
  PlacementOptions options_;
  int choices_ = 0;
  std::vector<comm::Rank> owners_;
};

}  // namespace pikv::shards
