#pragma once

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "comm/fault_source.hpp"
#include "comm/world.hpp"

namespace pikv::comm {

/// Held-back work of one transport or exchange: what is due by now is done in advance().
class Held {
 public:
  virtual ~Held() = default;
  virtual void advance() = 0;
  /// When the next of it is due; infinity: none, or only something else than time brings it.
  virtual double next_due() const = 0;
};

/// What the faulty transports and exchanges of one rank share: its faults, its stall, and whose work is held back.
struct FaultClock {
  World& world;   // the faulty one: its waits wake up for what is due
  FaultSource source;
  double stalled_until = 0;
  std::vector<Held*> held = {};

  void advance() {
    for (Held* const each : held) each->advance();
  }
  double next_due() const {
    double soonest = world.now() < stalled_until ? stalled_until : std::numeric_limits<double>::infinity();
    for (Held const* const each : held) soonest = std::min(soonest, each->next_due());
    return soonest;
  }
  /// When an operation that drew `fault` now may be carried out.
  double due_after(Fault fault) {
    double const now = world.now();
    if (fault == Fault::stall) stalled_until = std::max(stalled_until, now + source.plan().stall_ms * 1e-3);
    double const due = fault == Fault::delay ? now + source.plan().delay_us * 1e-6 : now;
    return std::max(due, stalled_until);
  }
};

std::unique_ptr<Exchange> make_faulty_exchange(FaultClock& clock, std::unique_ptr<Exchange> inner);
std::unique_ptr<Transport> make_faulty_transport(FaultClock& clock, std::unique_ptr<Transport> inner);

}  // namespace pikv::comm
