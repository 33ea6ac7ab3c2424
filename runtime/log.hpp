#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pikv::runtime {

/// Sends spdlog::info and its siblings to stderr, each line beginning with `pikv: ` (on ranks other than 0 `pikv: rank R: `, and only
/// warnings and errors). Levels: error, warning, info, debug (then every rank speaks).
void start_log(std::string const& level, int rank);

/// Writes `pikv: error: SENTENCE`, always one line, and at level debug what was being done (Doing), innermost first.
void say_error(std::string_view sentence);

/// Names what the enclosing scope does: `Doing doing{"reading the model"};`. When an exception leaves the scope, say_error tells it.
class Doing {
 public:
  explicit Doing(std::string what);
  ~Doing();
  Doing(Doing const&) = delete;   // one scope, one entry
  Doing& operator=(Doing const&) = delete;

 private:
  std::string what_;
  int exceptions_;
};

}  // namespace pikv::runtime
