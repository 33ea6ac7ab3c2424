#pragma once

#include <cstdint>
#include <deque>
#include <stdexcept>
#include <vector>

#include "comm/transport.hpp"

namespace pikv::comm {

/// What a transport knows about each started operation. Slots are reused; an Op that was waited for already is refused.
template <typename State>
class OpSlots {
 public:
  Op take(State state) {
    if (free_.empty()) {
      free_.push_back(static_cast<std::uint32_t>(slots_.size()));
      slots_.emplace_back();
      if (free_.capacity() < slots_.size()) free_.reserve(2 * slots_.size());
    }
    std::uint32_t const index = free_.back();
    free_.pop_back();
    slots_[index].state = std::move(state);
    return {index, slots_[index].serial};
  }
  /// Null if it was waited for before, or never started.
  State* find(Op op) { return op.index < slots_.size() && slots_[op.index].serial == op.serial ? &slots_[op.index].state : nullptr; }
  State& at(Op op) {
    if (State* const state = find(op)) return *state;
    throw std::logic_error("this transfer was waited for before, or never started");
  }
  void release(Op op) {
    at(op) = State{};
    ++slots_[op.index].serial;
    free_.push_back(op.index);
  }

 private:
  struct Slot {
    State state{};
    std::uint32_t serial = 1;
  };
  std::deque<Slot> slots_;   // states stay where they are: MPI and UCX may point into them
  std::vector<std::uint32_t> free_;
};

}  // namespace pikv::comm
