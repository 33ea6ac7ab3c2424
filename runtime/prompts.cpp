#include "runtime/prompts.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "comm/error.hpp"
#include "runtime/model/json.hpp"

namespace pikv::runtime {
namespace {

using Json = nlohmann::json;
constexpr std::array<std::string_view, 6> known_keys{"id", "prompt", "prompt_ids", "max_new_tokens", "stop", "arrival_s"};

class LineReader {
 public:
  LineReader(std::string where, PromptContext const& context) : where_{std::move(where)}, context_{context} {
    request_.max_new_tokens = context.max_new_tokens;
  }

  Request text(std::string_view line) && {
    if (!is_utf8(line)) fail("is not UTF-8 text; convert it");
    set_text(line);
    return checked();
  }

  Request json(std::string_view line) && {
    auto const json = parse_json(line, where_);
    if (!json.is_object()) fail("is not a JSON object; write {\"prompt\": \"...\"}");
    for (auto const& [key, value] : json.items())
      if (std::ranges::find(known_keys, key) == known_keys.end())
        fail(fmt::format("has the unknown key \"{}\"; these exist: {}", key, fmt::join(known_keys, ", ")));
    if (json.contains("prompt") == json.contains("prompt_ids")) fail("must have exactly one of \"prompt\" and \"prompt_ids\"");
    if (json.contains("id")) set_id(json["id"]);
    if (json.contains("max_new_tokens")) request_.max_new_tokens = positive(json["max_new_tokens"]);
    if (json.contains("stop")) set_stop(json["stop"]);
    if (json.contains("arrival_s")) set_arrival(json["arrival_s"]);
    if (json.contains("prompt")) set_text(string(json["prompt"], "prompt"));
    if (json.contains("prompt_ids")) set_ids(json["prompt_ids"]);
    return checked();
  }

 private:
  [[noreturn]] void fail(std::string const& why) const { throw InputError(fmt::format("{} {}", where_, why)); }

  std::string string(Json const& value, char const* key) const {
    if (!value.is_string()) fail(fmt::format("has \"{}\" that is not a string; put it in quotes", key));
    return value.get<std::string>();
  }

  void set_id(Json const& value) {
    request_.id = string(value, "id");
    if (request_.id.empty()) fail("has an empty \"id\"; leave it out to get the place in the input");
  }

  std::int32_t positive(Json const& value) const {
    if (!value.is_number_unsigned() || value == 0) fail("has a \"max_new_tokens\" that is not a whole number from 1 up");
    constexpr std::uint64_t most = std::numeric_limits<std::int32_t>::max();
    return static_cast<std::int32_t>(std::min(value.get<std::uint64_t>(), most));
  }

  void need_tokenizer(std::string const& what, std::string const& remedy) const {
    if (context_.tokenizer) return;
    auto const why = context_.no_tokenizer.empty() ? "" : " (" + context_.no_tokenizer + ")";
    fail(fmt::format("{}, but this model's tokenizer is not supported here{}; {}", what, why, remedy));
  }

  void set_stop(Json const& value) {
    if (!value.is_array()) fail("has a \"stop\" that is not a list of strings; write [\"...\"]");
    for (Json const& stop : value) request_.stop.push_back(string(stop, "stop"));
    if (std::ranges::count(request_.stop, "") > 0) fail("has an empty string in \"stop\", which would stop at once; leave it out");
    if (!request_.stop.empty()) need_tokenizer("has stop strings", "leave out \"stop\"");
  }

  void set_arrival(Json const& value) {
    auto const seconds = value.is_number() ? value.get<double>() : -1.0;
    if (!(seconds >= 0)) fail("has an \"arrival_s\" that is not a number of seconds from 0 up");
    request_.arrival_s = seconds;
  }

  void set_text(std::string_view text) {
    need_tokenizer("is text", "give JSON lines with \"prompt_ids\"");
    request_.prompt = context_.tokenizer->encode(text);
    if (auto const bos = context_.tokenizer->bos(); bos >= 0) request_.prompt.insert(request_.prompt.begin(), bos);
  }

  void set_ids(Json const& value) {
    if (!value.is_array()) fail("has \"prompt_ids\" that are not a list of token ids");
    for (Json const& id : value) {
      if (!id.is_number_integer()) fail("has \"prompt_ids\" that are not whole numbers");
      auto const number = id.get<std::int64_t>();
      bool const known = number >= 0 && number < context_.config.vocab;
      request_.prompt.push_back(known ? static_cast<std::int32_t>(number) : -1);
      if (!known && request_.refused.empty())
        request_.refused =
            fmt::format("token id {} is outside the model's vocabulary of {}; tokenise for this model", id.dump(), context_.config.vocab);
    }
  }

  Request checked() {
    if (!request_.refused.empty()) return std::move(request_);
    auto const length = static_cast<std::int64_t>(request_.prompt.size());
    auto const most = context_.config.max_positions;
    if (length == 0) request_.refused = "the prompt is empty and the model has no token to begin a text with; give at least one token";
    if (length + request_.max_new_tokens > most)
      request_.refused =
          fmt::format("a prompt of {} tokens and {} new ones are more than the model's {} positions; shorten the prompt or ask for fewer tokens",
                      length, request_.max_new_tokens, most);
    return std::move(request_);
  }

  std::string where_;
  PromptContext const& context_;
  Request request_;
};

bool is_jsonl(std::istream& in, std::string const& name, PromptFormat format) {
  if (format != PromptFormat::automatic) return format == PromptFormat::jsonl;
  return name.ends_with(".jsonl") || in.peek() == '{';
}

void give_ids(std::vector<Request>& requests, std::string const& name) {
  std::map<std::string_view, std::int64_t> line_of;
  for (auto& request : requests) {
    if (request.id.empty()) request.id = std::to_string(request.index);
    auto const [place, is_new] = line_of.emplace(request.id, request.index + 1);
    if (!is_new)
      throw InputError(
          fmt::format("{} lines {} and {} have the same id \"{}\"; give each line its own", name, place->second, request.index + 1, request.id));
  }
}

}   // namespace

PromptFormat prompt_format(std::string const& name) {
  static std::map<std::string, PromptFormat> const formats{
      {"jsonl", PromptFormat::jsonl}, {"text", PromptFormat::text}, {"auto", PromptFormat::automatic}};
  if (auto const found = formats.find(name); found != formats.end()) return found->second;
  throw InputError(fmt::format("--prompt-format={} is unknown; choose jsonl, text or auto", name));
}

std::vector<Request> read_prompts(std::istream& in, std::string const& name, PromptFormat format, PromptContext const& context) {
  bool const jsonl = is_jsonl(in, name, format);
  std::vector<Request> requests;
  for (std::string line; std::getline(in, line);) {
    auto const index = static_cast<std::int64_t>(requests.size());
    if (line.ends_with('\r')) line.pop_back();
    if (jsonl && line.find_first_not_of(" \t") == std::string::npos) throw InputError(fmt::format("{} line {} is not valid JSON: it is empty; give one JSON object a line", name, index + 1));
    LineReader reader{fmt::format("{} line {}", name, index + 1), context};
    requests.push_back(jsonl ? std::move(reader).json(line) : std::move(reader).text(line));
    requests.back().index = index;
  }
  if (in.bad()) throw InputError(fmt::format("could not read {} to its end; check that it is a readable file", name));
  if (requests.empty()) throw InputError(fmt::format("{} holds no prompts; write one a line", name));
  give_ids(requests, name);
  return requests;
}

std::vector<Request> read_prompt_file(std::string const& path, PromptFormat format, PromptContext const& context) {
  if (path == "-") return read_prompts(std::cin, "stdin", format, context);
  std::ifstream in{path, std::ios::binary};
  if (!in) throw InputError(fmt::format("could not open {} ({}); check --prompts", path, std::strerror(errno)));
  return read_prompts(in, path, format, context);
}

std::vector<Request> prompt_from_text(std::string_view text, PromptContext const& context) {
  auto request = LineReader{"--prompt", context}.text(text);
  request.id = "0";
  return {request};
}

}   // namespace pikv::runtime
