#pragma once

namespace pikv::comm {

/// How a wait ended. Never a bool: the caller must say what each case means to it.
enum class [[nodiscard]] Status { arrived, timeout, peer_gone, corrupt };

/// A moment on World::now()'s clock, in seconds. Every wait has one.
struct Deadline {
  double at = 0;
};

char const* to_string(Status status);

}  // namespace pikv::comm
