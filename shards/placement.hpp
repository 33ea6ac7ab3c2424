#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "comm/rank.hpp"
#include "shards/bucket.hpp"
#include "shards/epoch.hpp"

namespace pikv::shards {

inline constexpr std::size_t most_parts = 16;            // of a bucket
inline constexpr std::size_t most_bucket_places = 256;   // of a placement

/// A bucket that does not go where its hash says: a page of it goes to ranks[hash of its block % parts]. So a bucket hotter than a rank's
/// share is split, not copied: memory and reads balance alike, and no byte is stored twice. A rank listed twice takes two parts.
struct BucketPlace {
  Bucket bucket = 0;
  std::int32_t parts = 1;   // 1 to most_parts
  std::array<std::int16_t, most_parts> ranks{};
  friend bool operator==(BucketPlace const&, BucketPlace const&) = default;
};

struct PlacementOptions {
  Bucket buckets = default_buckets;
  double epsilon = 0.05;                  // a rank holds at most ceil((1 + epsilon) * V * w_r / sum w) buckets
  bool bounded = true;
  std::vector<std::uint64_t> weights{};   // per rank, integers so that every rank computes the same table; 0: takes none
  Epoch epoch = 1;
  std::vector<BucketPlace> places{};      // at most most_bucket_places, of buckets that hashing alone does not balance
  friend bool operator==(PlacementOptions const&, PlacementOptions const&) = default;
};

/// Table bucket -> rank by weighted, bounded rendezvous hashing (Thaler & Ravishankar 1998; methods 1.2). It says where new pages go
/// and moves none. A value: every rank computes the same one, without a message.
class Placement {
 public:
  explicit Placement(PlacementOptions const& options);

  /// `block` hashes stream and block (block_hash): it chooses the part of a bucket that is split.
  comm::Rank owner(Bucket bucket, std::uint64_t block = 0) const;
  /// The n-th choice for a page: 0 is owner(), then the other ranks by falling score. n < ranks with weight > 0.
  comm::Rank choice(Bucket bucket, int n, std::uint64_t block = 0) const;
  int choices() const { return choices_; }
  Epoch epoch() const { return options_.epoch; }
  Bucket buckets() const { return options_.buckets; }
  PlacementOptions const& options() const { return options_; }

 private:
  PlacementOptions options_;
  int choices_ = 0;
  std::vector<comm::Rank> owners_;             // by bucket
  std::vector<std::int16_t> place_of_bucket_;  // index of options_.places, -1: none
};

}  // namespace pikv::shards
