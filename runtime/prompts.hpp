#pragma once

#include <cstdint>
#include <filesystem>
#include <istream>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/request.hpp"

namespace pikv::runtime {

enum class PromptFormat { jsonl, text, automatic };
PromptFormat prompt_format(std::string const& name);   // "jsonl", "text", "auto"; InputError for another

/// What prompts are read for.
struct PromptContext {
  ModelConfig const& config;
  Tokenizer const* tokenizer = nullptr;   // null: only prompt_ids work
  std::int32_t max_new_tokens = 64;       // for lines that do not say
  std::string no_tokenizer{};             // why there is none, as part of a sentence
};

/// Reads JSON lines (interface.md) or plain text, one prompt a line (a carriage return before the newline is dropped).
/// automatic: JSON lines if `name` ends in .jsonl or the first character is `{`. An id that is not given is the 0-based index.
/// A line of another form (not UTF-8, not JSON, an unknown key, a wrong type, both or neither of prompt and prompt_ids, an id that an earlier
/// line has, text or stop strings without a tokenizer) and input without a line throw InputError with `name` and the line.
/// A request that the model cannot take (empty and no bos, an id out of vocabulary, prompt plus new tokens past the model's positions)
/// gets a sentence in Request::refused instead; its ids out of vocabulary are -1.
std::vector<Request> read_prompts(std::istream& in, std::string const& name, PromptFormat format, PromptContext const& context);

/// The same from a file; `-` is stdin. InputError where it can't be read.
std::vector<Request> read_prompt_file(std::string const& path, PromptFormat format, PromptContext const& context);

/// The one request of --prompt TEXT, newlines included.
std::vector<Request> prompt_from_text(std::string_view text, PromptContext const& context);

}   // namespace pikv::runtime
