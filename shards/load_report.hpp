#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "shards/bucket.hpp"

namespace pikv::shards {

struct BucketLoad {
  Bucket bucket = -1;
  std::uint32_t pages = 0;
  std::uint64_t reads = 0;
  friend bool operator==(BucketLoad const&, BucketLoad const&) = default;
};

inline constexpr std::size_t most_bucket_loads = 32;

/// What one rank bears as an owner, for whoever plans placements. Pages of its own on its own shard count like any other; pages at home
/// (open, on their way, first of a stream) do not: no placement moves them. Counts, never clocks.
struct LoadReport {
  std::uint64_t pages = 0, bytes = 0;                       // stored now; bytes of their slots, headers included
  std::uint64_t reads = 0;                                  // page reads served since the last report
  std::array<std::uint64_t, 3> bytes_by_locality{};         // moved by this rank since the job began: to itself, its host, other hosts
  std::uint64_t buckets = 0;                                // of `heaviest`, how many are used
  std::array<BucketLoad, most_bucket_loads> heaviest{};     // by reads and pages, as shares of this rank's; the heaviest first
  friend bool operator==(LoadReport const&, LoadReport const&) = default;
};

/// Adds up a LoadReport page by page.
class BucketLoads {
 public:
  explicit BucketLoads(Bucket buckets) : pages_(static_cast<std::size_t>(buckets)), reads_(pages_.size()) {}
  void add(Bucket bucket, std::uint32_t reads) {
    ++pages_[static_cast<std::size_t>(bucket)];
    reads_[static_cast<std::size_t>(bucket)] += reads;
  }
  LoadReport report() const;   // without bytes

 private:
  std::vector<std::uint32_t> pages_;
  std::vector<std::uint64_t> reads_;
};

}  // namespace pikv::shards
