#include "runtime/fidelity/task.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "comm/error.hpp"
#include "runtime/model/json.hpp"

namespace pikv::runtime {

bool has_text(std::span<EvalTask const> tasks) {
  return std::ranges::any_of(tasks, [](EvalTask const& task) { return task.kind == "text"; });
}

std::vector<std::int32_t> ids_of_text(Tokenizer const& tokenizer, std::string_view text) {
  std::vector<std::int32_t> ids = tokenizer.encode(text);
  if (tokenizer.bos() >= 0) ids.insert(ids.begin(), tokenizer.bos());
  return ids;
}

std::vector<EvalTask> text_tasks(TextIds const& text, std::int32_t window) {
  std::vector<std::int32_t> const& ids = text.ids;
  std::vector<EvalTask> tasks;
  auto const n = static_cast<std::ptrdiff_t>(window);
  for (auto at = ids.begin(); ids.end() - at >= n; at += n) {
    tasks.push_back({"text", 0, {at, at + n / 2}, {at + n / 2, at + n}, 1});
    auto& context = tasks.back().context;
    if (text.bos >= 0) context.insert(context.begin(), text.bos);
  }
  return tasks;
}

namespace {

std::vector<std::int32_t> ids_in(nlohmann::json const& line, char const* key, std::string const& where, std::int32_t vocab) {
  auto const found = line.find(key);
  if (found == line.end() || !found->is_array() || found->empty()) throw InputError(fmt::format("{} has no list \"{}\"; jobs/tokenize.py makes it", where, key));
  std::vector<std::int32_t> ids;
  for (auto const& id : *found) {
    if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() >= vocab)
      throw InputError(fmt::format("{}: \"{}\" holds {}, which is no token of this model (0 to {})", where, key, id.dump(), vocab - 1));
    ids.push_back(id.get<std::int32_t>());
  }
  return ids;
}

template <typename Read>
void for_each_line(std::string_view text, std::string const& source, Read const& read) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    auto const end = std::min(text.find('\n'), text.size());
    std::string_view const line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    std::string const where = fmt::format("line {} of {}", number, source);
    auto const json = parse_json(line, where);
    if (!json.is_object()) throw InputError(where + " is not a JSON object");
    read(json, where);
  }
}

}  // namespace

TextIds read_ids(std::string_view text, std::string const& source, std::int32_t vocab, std::int32_t bos) {
  TextIds all;
  bool first = true;
  for_each_line(text, source, [&](nlohmann::json const& line, std::string const& where) {
    auto const ids = ids_in(line, "prompt_ids", where, vocab);
    if (std::exchange(first, false) && ids[0] == bos) all.bos = bos;
    all.ids.insert(all.ids.end(), ids.begin() + (all.bos >= 0 && ids[0] == bos ? 1 : 0), ids.end());
  });
  return all;
}

std::vector<EvalTask> read_tasks(std::string_view text, std::string const& source, std::int32_t vocab) {
  std::vector<EvalTask> tasks;
  for_each_line(text, source, [&](nlohmann::json const& line, std::string const& where) {
    EvalTask task;
    task.kind = line.value("kind", "task");
    task.depth = line.value("depth", 0.0);
    task.context = ids_in(line, "context_ids", where, vocab);
    task.follow = ids_in(line, "question_ids", where, vocab);
    task.scored_from = static_cast<std::int32_t>(task.follow.size());
    auto const answer = ids_in(line, "answer_ids", where, vocab);
    task.follow.insert(task.follow.end(), answer.begin(), answer.end());
    tasks.push_back(std::move(task));
  });
  if (tasks.empty()) throw InputError(source + " holds no task; give JSON lines with context_ids, question_ids and answer_ids");
  return tasks;
}

}  // namespace pikv::runtime
