#pragma once

#include <cstdint>
#include <string_view>

#include "comm/function_ref.hpp"

namespace pikv::runtime::replay {

/// Requests to make: sessions arrive as a Poisson process; each begins with one of `prefixes` (a system prompt, a document), the i-th most popular
/// with a probability ~ i^-zipf, and has a geometric number of turns. A turn's input is all of the turn before, its output, and new tokens.
/// Lengths and pauses are exponential.
struct Workload {
  std::int64_t requests = 1000;
  std::uint64_t seed = 0;
  std::int64_t prefixes = 100;
  double zipf = 1;
  double turns = 3;              // mean, 1 up
  double prefix_tokens = 2048;   // means
  double input_tokens = 512;
  double output_tokens = 256;
  double rate = 1;       // requests a second, mean
  double think_s = 30;   // mean from one turn of a session to the next
};

constexpr std::int64_t block_tokens = 512;
constexpr std::int64_t most_input_tokens = 131072;   // a session ends before

/// The first `requests` in order of their moments, as lines that read_requests() takes, without the line's end. Hash ids are numbers in order of
/// appearance; the last block of an input, where it is not full, has an id of its own. The same workload gives the same lines.
void generate(Workload const& workload, comm::FunctionRef<void(std::string_view line)> write);

}   // namespace pikv::runtime::replay
