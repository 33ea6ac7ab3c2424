#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "comm/error.hpp"
#include "runtime/fidelity/task.hpp"
#include "shards/mix.hpp"

namespace pikv::runtime {

namespace {

constexpr std::array<char const*, 16> names{"ash", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak", "palm", "pine", "plum", "rowan", "spruce", "willow", "yew"};
constexpr std::array<char const*, 3> kinds{"single", "many", "chain"};

struct Needle {
  std::string kind, question, answer;
  std::vector<std::string> facts;   // the one that is asked first
  double depth = 0;
};

/// Numbers of one task, by counter.
class Draw {
 public:
  Draw(std::uint64_t seed, std::uint64_t task) : key_{shards::mix(seed ^ shards::mix(task))} {}
  std::uint64_t below(std::uint64_t n) { return shards::mix(key_ ^ ++counter_) % n; }

 private:
  std::uint64_t key_, counter_ = 0;
};

std::string secret(Draw& draw) { return std::to_string(10000 + draw.below(90000)); }
std::string fact(std::string const& name, std::string const& value) { return " The number of " + name + " is " + value + "."; }

Needle make_needle(NeedleOptions const& options, std::int32_t task) {
  Draw draw{options.seed, static_cast<std::uint64_t>(task)};
  std::array<std::string, names.size()> shuffled;
  std::ranges::copy(names, shuffled.begin());
  for (std::size_t i = shuffled.size() - 1; i > 0; --i) std::swap(shuffled[i], shuffled[draw.below(i + 1)]);
  Needle needle;
  auto const at = static_cast<std::size_t>(task);
  needle.kind = kinds[at % kinds.size()];
  needle.depth = options.depths[at / kinds.size() % options.depths.size()];
  needle.answer = " " + secret(draw);
  needle.facts.push_back(fact(shuffled[0], needle.answer.substr(1)));
  std::string asked = shuffled[0];
  if (needle.kind == "many")
    for (std::size_t i = 1; i < 8; ++i) needle.facts.push_back(fact(shuffled[i], secret(draw)));
  if (needle.kind == "chain") {
    needle.facts.push_back(fact(shuffled[1], "that of " + shuffled[0]));
    needle.facts.push_back(fact(shuffled[2], "that of " + shuffled[1]));
    asked = shuffled[2];
  }
  needle.question = needle.kind == "chain" ? " In digits, the number of " + asked + " is" : " The number of " + asked + " is";
  return needle;
}

std::size_t start_of_character(std::string_view text, std::size_t at) {
  while (at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;   // UTF-8
  return at;
}

// Text from a random place on, with the first fact at the needle's depth and the others evenly between.
std::string context_of(Needle const& needle, std::string_view haystack, std::size_t bytes, Draw draw) {
  if (haystack.empty()) throw InputError("the text that needles are to be hidden in is empty; give another with --text");
  std::size_t hidden = 0;
  for (std::string const& one : needle.facts) hidden += one.size();
  std::size_t const wanted = bytes > hidden ? bytes - hidden : 0;
  std::string text;
  for (std::size_t at = start_of_character(haystack, draw.below(haystack.size())); text.size() < wanted; at = 0) {
    std::size_t const end = start_of_character(haystack, std::min(haystack.size(), at + wanted - text.size()));
    if (end <= at) break;
    text += haystack.substr(at, end - at);
  }
  auto const insert = [&](double depth, std::string const& one) {
    auto place = static_cast<std::size_t>(std::llround(depth * static_cast<double>(text.size())));
    while (place > 0 && place < text.size() && text[place] != ' ') --place;
    text.insert(place, one);
  };
  for (std::size_t i = needle.facts.size(); i-- > 1;) insert(static_cast<double>(i) / static_cast<double>(needle.facts.size()), needle.facts[i]);
  insert(needle.depth, needle.facts[0]);
  return text;
}

// Ids that both begin with.
std::size_t common(std::vector<std::int32_t> const& a, std::vector<std::int32_t> const& b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace

std::vector<EvalTask> needle_tasks(NeedleOptions const& options, std::string_view haystack, Tokenizer const& tokenizer) {
  std::vector<EvalTask> tasks;
  for (std::int32_t i = 0; i < options.count; ++i) {
    Needle const needle = make_needle(options, i);
    Draw const draw{~options.seed, static_cast<std::uint64_t>(i)};
    auto bytes = static_cast<std::size_t>(options.length);
    std::string text = context_of(needle, haystack, bytes, draw);
    std::vector<std::int32_t> context = ids_of_text(tokenizer, text);
    for (int tries = 0; tries < 4 && context.size() < static_cast<std::size_t>(options.length) * 9 / 10; ++tries) {   // a token is several bytes
      bytes = bytes * static_cast<std::size_t>(options.length) / std::max<std::size_t>(context.size(), 1);
      text = context_of(needle, haystack, bytes, draw);
      context = ids_of_text(tokenizer, text);
    }
    // Question and answer as they are read: after what is before them. Where a token reaches over the seam, it counts with what comes after.
    auto const all = ids_of_text(tokenizer, text + needle.question + needle.answer);
    std::size_t const read = common(context, all), asked = common(ids_of_text(tokenizer, text + needle.question), all);
    auto const follow = all.begin() + static_cast<std::ptrdiff_t>(read);
    EvalTask task{needle.kind, needle.depth, {all.begin(), follow}, {follow, all.end()}, static_cast<std::int32_t>(std::max<std::size_t>(1, asked - read))};
    tasks.push_back(std::move(task));
  }
  return tasks;
}

std::string needle_texts(NeedleOptions const& options, std::string_view haystack) {
  std::string lines;
  for (std::int32_t i = 0; i < options.count; ++i) {
    Needle const needle = make_needle(options, i);
    std::string const context = context_of(needle, haystack, static_cast<std::size_t>(options.length), {~options.seed, static_cast<std::uint64_t>(i)});
    nlohmann::json const line = {{"kind", needle.kind}, {"depth", needle.depth}, {"context", context}, {"question", needle.question}, {"answer", needle.answer}};
    lines += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  return lines;
}

}  // namespace pikv::runtime
