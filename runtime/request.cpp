#include "runtime/request.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace pikv::runtime {

std::size_t find_stop(Request const& request, std::string const& text) {
  auto first = std::string::npos;
  for (auto const& stop : request.stop) first = std::min(first, text.find(stop));
  return first;
}

std::string text_of(Request const& request, Result const& result, Tokenizer const& tokenizer) {
  auto const text = tokenizer.decode(result.tokens);
  return text.substr(0, find_stop(request, text));
}

std::string output_line(Request const& request, Result const& result, Tokenizer const* tokenizer) {
  nlohmann::ordered_json line;
  line["id"] = request.id;
  line["prompt_tokens"] = result.prompt_tokens;
  line["tokens"] = result.tokens;
  line["text"] = nullptr;
  if (tokenizer) line["text"] = text_of(request, result, *tokenizer);
  line["finish"] = to_string(result.finish);
  if (!result.error.empty()) line["error"] = result.error;
  line["ttft_s"] = nullptr;
  if (!result.tokens.empty()) line["ttft_s"] = result.first_token - result.arrival;
  line["tpot_s"] = nullptr;
  if (result.tokens.size() > 1) line["tpot_s"] = (result.end - result.first_token) / static_cast<double>(result.tokens.size() - 1);
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}   // namespace pikv::runtime
