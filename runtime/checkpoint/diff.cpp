#include "runtime/checkpoint/diff.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <variant>

#include "runtime/checkpoint/resume.hpp"
#include "runtime/checkpoint/show.hpp"

namespace pikv::runtime {

namespace {

constexpr std::uint64_t most_lines = 50;

using PageId = std::tuple<std::uint64_t, std::uint64_t, std::int32_t, std::int32_t>;   // stream, block, layer

constexpr std::size_t longest_line = 400;

void say(CheckpointDiff& diff, std::uint64_t& count, std::string const& line) {
  ++count;
  if (diff.lines.size() < most_lines)
    diff.lines.push_back(printable(line, longest_line));
  else
    ++diff.not_shown;
}

std::set<std::string> names_in_either(Attributes const& a, Attributes const& b) {
  std::set<std::string> names;
  for (Attributes const* list : {&a, &b})
    for (Attribute const& attribute : *list) names.insert(attribute.name);
  return names;
}

std::string text_of(Attributes const& attributes, std::string const& name) {
  auto const found = std::ranges::find(attributes, name, &Attribute::name);
  if (found == attributes.end()) return "missing";
  return std::visit([](auto const& value) { return fmt::format("{}", value); }, found->value);
}

void compare_models(CheckpointFacts const& a, CheckpointFacts const& b, CheckpointDiff& diff) {
  for (std::string const& name : names_in_either(a.model, b.model))
    if (text_of(a.model, name) != text_of(b.model, name))
      say(diff, diff.model, fmt::format("model {}: {} / {}", name, text_of(a.model, name), text_of(b.model, name)));
  if (a.fingerprint != b.fingerprint)
    say(diff, diff.model, fmt::format("fingerprint of model and page shape: {} / {}", hex(a.fingerprint), hex(b.fingerprint)));
}

void compare_options(CheckpointFacts const& a, CheckpointFacts const& b, CheckpointDiff& diff) {
  for (std::string const& name : names_in_either(a.options, b.options)) {
    std::string const left = value_of(a.options, name), right = value_of(b.options, name);
    if (left == right) continue;
    auto const line = fmt::format("option {}: {} / {}", name, left.empty() ? "not given" : left, right.empty() ? "not given" : right);
    if (decides_the_result(name))
      say(diff, diff.options, line);
    else
      diff.notes.push_back(printable(line, longest_line));
  }
}

std::string difference(SavedRequest const& a, SavedRequest const& b) {
  auto const differ = [](char const* what, auto const& left, auto const& right) { return fmt::format("{} {} / {}", what, left, right); };
  if (a.request.id != b.request.id) return differ("id", a.request.id, b.request.id);
  if (a.request.prompt != b.request.prompt) return "another prompt";
  if (a.request.max_new_tokens != b.request.max_new_tokens) return differ("max_new_tokens", a.request.max_new_tokens, b.request.max_new_tokens);
  if (a.request.stop != b.request.stop) return "other stop strings";
  if (a.phase != b.phase) return differ("phase", to_string(a.phase), to_string(b.phase));
  if (a.phase == Phase::done && a.result.finish != b.result.finish) return differ("finish", to_string(a.result.finish), to_string(b.result.finish));
  auto const& left = a.result.tokens;
  auto const& right = b.result.tokens;
  if (left != right)
    return fmt::format("tokens differ from generated token {} on ({} / {} generated)", std::ranges::mismatch(left, right).in1 - left.begin(),
                       left.size(), right.size());
  if (a.result.error != b.result.error || a.request.refused != b.request.refused) return "another error";
  if (a.length != b.length) return differ("tokens in pages", a.length, b.length);
  return {};
}

void compare_requests(CheckpointReader const& a, CheckpointReader const& b, CheckpointDiff& diff) {
  auto const both = std::min(a.requests().size(), b.requests().size());
  for (std::size_t i = 0; i < both; ++i) {
    auto const trouble = difference(a.requests()[i], b.requests()[i]);
    if (trouble.empty())
      ++diff.equal_requests;
    else
      say(diff, diff.requests, fmt::format("request {}: {}", i, trouble));
  }
  for (std::size_t i = both; i < std::max(a.requests().size(), b.requests().size()); ++i)
    say(diff, diff.requests, fmt::format("request {}: only in the {}", i, i < a.requests().size() ? "first" : "second"));
}

std::map<PageId, std::size_t> rows_of(CheckpointReader const& checkpoint) {
  std::map<PageId, std::size_t> rows;
  for (std::size_t row = 0; row < checkpoint.pages().size(); ++row) {
    PageRow const& page = checkpoint.pages()[row];
    rows[{page.stream_hi, page.stream_lo, page.block, page.layer}] = row;
  }
  return rows;
}

struct Page {
  bool there = false;
  std::vector<std::byte> payload;

  void read(CheckpointReader const& checkpoint, std::map<PageId, std::size_t> const& rows, PageId const& id) {
    auto const row = rows.find(id);
    there = row != rows.end();
    if (!there) return;
    shards::PageHeader header;
    payload.resize(checkpoint.pages()[row->second].bytes);
    checkpoint.read_page(row->second, header, payload);
    there = header.state == shards::PageState::ready;
  }
};

void compare_pages(CheckpointReader const& a, CheckpointReader const& b, CheckpointDiff& diff) {
  auto const left = rows_of(a), right = rows_of(b);
  std::set<PageId> ids;
  for (auto const* rows : {&left, &right})
    for (auto const& [id, row] : *rows) ids.insert(id);
  Page first, second;
  for (PageId const& id : ids) {
    first.read(a, left, id);
    second.read(b, right, id);
    auto const& [hi, lo, block, layer] = id;
    auto const name = [&, stream_hi = hi, stream_lo = lo, b_ = block, l_ = layer] {
      return fmt::format("page of stream {:016x}{:016x}, layer {}, block {}", stream_hi, stream_lo, l_, b_);
    };
    if (first.there != second.there)
      say(diff, diff.pages, fmt::format("{}: only in the {}", name(), first.there ? "first" : "second"));
    else if (first.there && first.payload != second.payload)
      say(diff, diff.pages, fmt::format("{}: other bytes", name()));
    else if (first.there)
      ++diff.equal_pages;
  }
}

}   // namespace

CheckpointDiff diff_checkpoints(CheckpointReader const& a, CheckpointReader const& b) {
  CheckpointDiff diff;
  compare_models(a.facts(), b.facts(), diff);
  compare_options(a.facts(), b.facts(), diff);
  compare_requests(a, b, diff);
  compare_pages(a, b, diff);
  return diff;
}

std::string summary_of(CheckpointDiff const& diff) {
  if (diff.equal()) return fmt::format("equal: {} requests and {} pages", diff.equal_requests, diff.equal_pages);
  std::vector<std::string> parts;
  auto const add = [&](std::uint64_t count, char const* what) {
    if (count > 0) parts.push_back(fmt::format("{} {}{}", count, what, count == 1 ? "" : "s"));
  };
  add(diff.model, "model field");
  add(diff.options, "option");
  add(diff.requests, "request");
  add(diff.pages, "page");
  bool const one = diff.model + diff.options + diff.requests + diff.pages == 1;
  return fmt::format("{} differ{}; {} requests and {} pages are equal", fmt::join(parts, ", "), one ? "s" : "", diff.equal_requests,
                     diff.equal_pages);
}

}   // namespace pikv::runtime
