#pragma once

#include <cstdint>
#include <span>

#include "comm/faults.hpp"

namespace pikv::comm {

enum class Fault { none, drop, delay, duplicate, reorder, flip, truncate, stall };
enum class Operation { put, get, message };

/// What befalls one operation; `detail` is a random number that says which bit or how long a prefix.
struct Draw {
  Fault fault = Fault::none;
  std::uint64_t detail = 0;
};

/// Draws a rank's faults one operation after the other and counts those that took place.
class FaultSource {
 public:
  FaultSource(FaultPlan const& plan, Rank rank) : plan_{plan}, rank_{rank} {}

  /// At most one fault per operation. None where it would change nothing: a get or message cannot be duplicated or
  /// reordered, an empty one neither flipped nor truncated.
  Draw draw(Operation operation, std::size_t bytes);

  void set_step(std::int64_t step) { step_ = step; }
  FaultPlan const& plan() const { return plan_; }
  FaultCounts const& counts() const { return counts_; }

 private:
  Fault choose(double u) const;
  bool concerns(Operation operation) const;
  std::uint64_t& count(Fault fault);

  FaultPlan plan_;
  Rank rank_;
  std::int64_t step_ = 0;
  std::uint64_t operations_ = 0;
  FaultCounts counts_;
};

inline void flip_bit(std::span<std::byte> bytes, std::uint64_t detail) {
  std::uint64_t const bit = detail % (8 * bytes.size());
  bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
}

}  // namespace pikv::comm
