#pragma once

#include <cstdint>

#include "shards/directory.hpp"

namespace pikv::shards {

/// The KV of one sequence, at its home. Made and owned by the store; whoever decodes the sequence borrows it.
class Stream {
 public:
  Stream(StreamId id, std::int32_t layers) : id_{id}, directory_{layers} {}
  Stream(Stream const&) = delete;   // pages are booked under its address
  Stream& operator=(Stream const&) = delete;

  StreamId id() const { return id_; }
  /// Tokens whose keys and values are in pages, in all layers.
  std::int64_t length() const { return length_; }
  Directory const& directory() const { return directory_; }
  /// So many blocks are sealed, from the first on.
  Block sealed() const { return sealed_; }
  /// All pages of these blocks that cool are cold, or gone; those of the first never are.
  Block cold() const { return cold_; }
  /// Pages that a policy has dropped, since it began or was computed again from its beginning.
  std::int64_t evicted_pages() const { return evicted_pages_; }

 private:
  friend class Attention;
  friend class Home;
  friend class Migration;
  friend class Recoding;
  friend class Replicas;
  friend class Store;
  friend class Tiers;
  StreamId id_;
  std::int64_t length_ = 0, evicted_pages_ = 0;
  Block sealed_ = 0, cold_ = 1;
  bool cools_ = false;   // it is not, or no longer, being read from a checkpoint
  Directory directory_;
};

}  // namespace pikv::shards
