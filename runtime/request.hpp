#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pikv::runtime {

/// One line of a prompt file, tokenised.
struct Request {
  std::int64_t index = 0;               // place in the input, 0-based: names it in random numbers, output order, --logits
  std::string id;
  std::vector<std::int32_t> prompt;
  std::int32_t max_new_tokens = 64;
  std::vector<std::string> stop;
  double arrival_s = 0;
  std::string refused;                  // not empty: ends as an error line with this sentence, the others run
};

enum class Finish { eos, length, stop, error };
char const* to_string(Finish finish);

/// What became of it. Times are seconds on the job's clock.
struct Result {
  std::int64_t index = 0;
  std::int32_t home = 0;
  std::int32_t prompt_tokens = 0;
  std::vector<std::int32_t> tokens;     // end-of-sequence included
  Finish finish = Finish::length;
  std::string error;
  double arrival = 0, first_token = 0, end = 0;
  std::int32_t rewinds = 0;
  std::vector<float> logits;            // [generated][vocab], only if asked for
};

}  // namespace pikv::runtime
