#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "comm/transport.hpp"
#include "comm/world.hpp"

namespace pikv::comm {

/// What goes wrong, how often (probability per operation), and when. Replayable: the draw of operation n of a rank
/// depends only on (seed, rank, n). JSON: docs/files.md.
struct FaultPlan {
  std::uint64_t seed = 1;
  double drop = 0;        // a put or get never happens, though its completion says so
  double delay = 0;       // completes delay_us later (a flush waits for it)
  double duplicate = 0;   // a put lands twice, the second time just before the next flush of that peer ends
  double reorder = 0;     // a put lands after puts that were issued later (never past a flush)
  double flip = 0;        // one bit arrives inverted
  double truncate = 0;    // only a prefix arrives
  double stall = 0;       // this rank's transfers make no progress for stall_ms
  double delay_us = 500;
  double stall_ms = 50;
  bool on_put = true, on_get = true, on_message = false;
  std::int64_t first_step = 0, last_step = INT64_MAX;   // active while first_step <= step < last_step
};
/// Throws InputError naming the key that is unknown, missing or out of range; the sentence lacks where the text is from.
FaultPlan parse_fault_plan(std::string const& json_text);

/// Draws at most one fault per operation, so the probabilities add up to 1 at most. Counts what took place: a fault that
/// would change nothing (a get duplicated or reordered, no bytes to flip) does not.
struct FaultCounts {
  std::uint64_t drop = 0, delay = 0, duplicate = 0, reorder = 0, flip = 0, truncate = 0, stall = 0;
  std::uint64_t total() const { return drop + delay + duplicate + reorder + flip + truncate + stall; }
};

/// The kinds by the names a fault plan gives them.
struct FaultKind {
  char const* name;
  std::uint64_t FaultCounts::*count;
};
inline constexpr FaultKind fault_kinds[] = {{"drop", &FaultCounts::drop},       {"delay", &FaultCounts::delay}, {"duplicate", &FaultCounts::duplicate},
                                            {"reorder", &FaultCounts::reorder}, {"flip", &FaultCounts::flip},   {"truncate", &FaultCounts::truncate},
                                            {"stall", &FaultCounts::stall}};

/// A world like `inner` (which must outlive it, as it must outlive what it makes) whose transports and exchanges suffer the plan. Control: set_step() tells it the step.
/// A dropped message ends as timeout, a flipped or truncated one as corrupt: the job then fails, it never goes on wrongly.
/// Its transports' counts() are of what really moved: without dropped puts, with the second landing of duplicates.
class FaultyWorld : public World {
 public:
  virtual void set_step(std::int64_t step) = 0;
  virtual FaultCounts const& fault_counts() const = 0;
  virtual World const& inner() const = 0;
};
std::unique_ptr<FaultyWorld> make_faulty_world(World& inner, FaultPlan const& plan);

}  // namespace pikv::comm
