#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/model/config.hpp"
#include "runtime/model/tokenizer.hpp"
#include "shards/mix.hpp"
#include "shards/page.hpp"

namespace pikv::runtime {

/// One line of a prompt file, tokenised.
struct Request {
  std::int64_t index = 0;   // place in the input, 0-based: names it in random numbers, output order, --logits
  std::string id{};
  std::vector<std::int32_t> prompt{};
  std::int32_t max_new_tokens = 64;
  std::vector<std::int32_t> forced{};   // not empty: what follows the prompt, max_new_tokens of them, whatever the logits say
  std::vector<std::string> stop{};
  double arrival_s = 0;
  std::string refused{};   // not empty: ends as an error line with this sentence, the others run
};

/// The stream that its keys and values are in.
constexpr shards::StreamId stream_of(std::int64_t request_index) {
  auto const index = static_cast<std::uint64_t>(request_index);
  return {shards::mix(index), shards::mix(~index)};
}

enum class Finish { eos, length, stop, error };
char const* to_string(Finish finish);

/// What became of it. Times are seconds on the job's clock.
struct Result {
  std::int64_t index = 0;
  std::int32_t home = 0;
  std::int32_t prompt_tokens = 0;
  std::vector<std::int32_t> tokens{};   // end-of-sequence included
  Finish finish = Finish::length;
  std::string error{};
  double arrival = 0, first_token = 0, end = 0;
  std::int32_t rewinds = 0;
  std::int32_t generated_before = 0;    // of the tokens, those in the checkpoint this run goes on from
  bool ended_before = false;            // in the run that wrote the checkpoint this one goes on from
  std::vector<float> logits{};   // [generated][vocab], only if asked for
};

/// Where the first of the request's stop strings begins in `text`; npos where none occurs.
std::size_t find_stop(Request const& request, std::string const& text);

/// What a user reads of the result: special tokens left out, ends before a stop string. Any bytes, not always UTF-8.
std::string text_of(Request const& request, Result const& result, Tokenizer const& tokenizer);

/// One line of --output (interface.md), without the newline; always valid JSON: bytes that are not UTF-8 become U+FFFD. `text` is null
/// without a tokenizer, `ttft_s` where no token came, `tpot_s` (mean time between tokens) where fewer than two came.
std::string output_line(Request const& request, Result const& result, Tokenizer const* tokenizer);

}   // namespace pikv::runtime
