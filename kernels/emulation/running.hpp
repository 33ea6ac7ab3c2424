#pragma once

#include <cstddef>

#include "kernels/emulation/history.hpp"

namespace pikv::kernels::emulation {

/// The thread of a block whose fiber runs, and what it may touch.
struct Running {
  std::byte const* stack = nullptr;
  std::size_t stack_bytes = 0;
  std::byte const* arguments = nullptr;
  std::size_t argument_bytes = 0;
  std::size_t dynamic_bytes = 0;
  Place place{};
  History* history = nullptr;
};

/// Null where no kernel runs.
extern thread_local Running const* running;

/// While it lives, no access is checked: the emulation's own work, which may call inline functions of the standard library whose instrumented copies
/// the linker has chosen.
class Unchecked {
 public:
  Unchecked() : kept_{running} { running = nullptr; }
  ~Unchecked() { running = kept_; }
  Unchecked(Unchecked const&) = delete;   // one at a time

 private:
  Running const* kept_;
};

/// Reports an access of that thread that is not in order.
void check_access(Running const& me, void const* at, std::size_t bytes, Kind kind);

}  // namespace pikv::kernels::emulation
