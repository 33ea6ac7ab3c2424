#pragma once

#include <cstdint>
#include <vector>

#include "kernels/buffer.hpp"
#include "shards/arena.hpp"
#include "shards/store_options.hpp"

namespace pikv::shards {

/// Makes cold pages of warm ones: the same bits from the same page, whoever does it.
class Recoder {
 public:
  Recoder(Arena& arena, StoreOptions const& options);

  /// The page in slot `warm`, which the caller has verified, as a cold page of its table in slot `cold`, with a header of its own. What it
  /// says of its errors bounds the distance to the keys and values that were sealed: the errors of both encodings added up.
  void recode(std::int32_t table, Slot warm, Slot cold, std::uint64_t generation);
  double seconds() const { return seconds_; }

 private:
  void add_errors(std::int32_t table, Slot warm, Slot cold);

  Arena& arena_;
  StoreOptions const& options_;
  kernels::Buffer<float> numbers_;   // of one page, so that decoding rounds nothing
  std::vector<float> sums_;
  double seconds_ = 0;
};

}  // namespace pikv::shards
