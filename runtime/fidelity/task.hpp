#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/model/tokenizer.hpp"

namespace pikv::runtime {

/// One thing that is measured: a context, read as a prompt is, then tokens that follow it whatever the model would say. Those from
/// `scored_from` on count. The first that follows is predicted by the prompt's last row, which reads everything, so it never counts.
struct EvalTask {
  std::string kind;                       // "text", or a kind of needle
  double depth = 0;                       // of a needle: 0 at the beginning of the context, 1 at its end
  std::vector<std::int32_t> context, follow;
  std::int32_t scored_from = 1;
};

/// Losses and KL are means over text alone, where there is any.
bool has_text(std::span<EvalTask const> tasks);

/// The ids of a text as a prompt has them: after bos, where the tokenizer has one.
std::vector<std::int32_t> ids_of_text(Tokenizer const& tokenizer, std::string_view text);

/// Ids of a text.
struct TextIds {
  std::vector<std::int32_t> ids;   // without bos
  std::int32_t bos = -1;           // what a prompt of it begins with; -1: nothing
};

/// Held-out text, cut into windows of `window` tokens that follow each other: the first half is context. A rest shorter than a window is left out.
/// Each begins with text.bos besides, where that is not -1.
std::vector<EvalTask> text_tasks(TextIds const& text, std::int32_t window);

/// JSON lines {"prompt_ids"}, as jobs/tokenize.py writes them: the ids of all lines, one after the other. Where the first begins with `bos` (the model's; -1:
/// none), so does every prompt, and no line's own is among the ids. Throws as read_tasks does.
TextIds read_ids(std::string_view text, std::string const& source, std::int32_t vocab, std::int32_t bos);

/// JSON lines {"kind", "context_ids", "question_ids", "answer_ids", "depth"?}: tasks made elsewhere, for models whose tokenizer is not supported
/// here. Throws InputError that names `source` and the line.
std::vector<EvalTask> read_tasks(std::string_view text, std::string const& source, std::int32_t vocab);

struct NeedleOptions {
  std::int32_t count = 0;
  std::int32_t length = 1024;             // tokens of a context
  std::vector<double> depths{0, .25, .5, .75, 1};
  std::uint64_t seed = 0;
};

/// Facts hidden in text, and a question for one of them: `single` (one fact), `many` (eight, one is asked), `chain` (a fact that refers to another,
/// which refers to a number). Kinds and depths take turns; the same seed gives the same tasks. `haystack`: text to hide them in, repeated as needed.
std::vector<EvalTask> needle_tasks(NeedleOptions const& options, std::string_view haystack, Tokenizer const& tokenizer);
/// The same as text, JSON lines {"kind", "context", "question", "answer", "depth"}, of about `length` bytes each: jobs/tokenize.py makes ids of them.
std::string needle_texts(NeedleOptions const& options, std::string_view haystack);

}  // namespace pikv::runtime
