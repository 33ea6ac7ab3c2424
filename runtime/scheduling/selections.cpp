#include "runtime/scheduling/selections.hpp"

#include <fmt/format.h>

#include <charconv>

#include "comm/error.hpp"
#include "runtime/scheduling/chunk_select.hpp"
#include "runtime/scheduling/fastv.hpp"
#include "runtime/scheduling/pyramid.hpp"

namespace pikv::runtime {
namespace {

double kept(double parameter) { return parameter; }
double kept_everywhere(double parameter, std::int32_t) { return parameter; }
double not_dropped(double parameter) { return 1 - parameter; }

SchedulerEntry policy(bool by_head, std::unique_ptr<Scheduler> (*make)(SchedulerMaterial const&)) {
  return {.sentence = {}, .kind = SchedulerKind::retention, .by_head = by_head, .masses = true, .make = make};
}

}   // namespace

std::map<std::string_view, SelectionEntry> const& selections() {
  using Material = SchedulerMaterial;
  // clang-format off
  static std::map<std::string_view, SelectionEntry> const table{
      {"pyramid", {.sentence = "keeps a share of the tokens (pyramid:0.5), more in low layers than in high ones, by what the last 64 queries attended to",
                   .policy = policy(true, [](Material const& m) { return make_pyramid(m); }), .keep = kept, .share = kept_everywhere}},
      {"chunk_select", {.sentence = "keeps a share of the pages (chunk_select:0.5) whole, by their tokens' mean score, the same for all heads of two layers",
                        .policy = policy(false, [](Material const& m) { return make_chunk_select(m); }), .keep = kept, .share = kept_everywhere}},
      {"fastv", {.sentence = "drops a share of the tokens (fastv:0.5) in all layers after the second, those that receive least attention in it",
                 .policy = policy(false, [](Material const& m) { return make_fastv(m); }), .keep = not_dropped,
                 .share = [](double parameter, std::int32_t layers) { return fastv_share(1 - parameter, layers); }}},
  };
  // clang-format on
  return table;
}

Selection make_selection(std::string_view name, std::string_view parameter) {
  SelectionEntry const& entry = selections().at(name);
  Selection selection{.name = std::string{name}};
  if (parameter.empty()) return selection;
  auto const [end, error] = std::from_chars(parameter.data(), parameter.data() + parameter.size(), selection.parameter);
  bool const whole = error == std::errc{} && end == parameter.data() + parameter.size();
  if (!whole || !(entry.keep(selection.parameter) > 0 && entry.keep(selection.parameter) <= 1))
    throw InputError(fmt::format("'{}' of codec {}:{} is not a share of the tokens it can {}; give one like {}:0.5", parameter, name, parameter,
                                 entry.keep(0) > 0 ? "drop (0 or more, below 1)" : "keep (above 0, at most 1)", name));
  return selection;
}

SchedulerEntry const& policy_named(std::string_view name) {
  if (auto const found = selections().find(name); found != selections().end()) return found->second.policy;
  return schedulers().at(name);
}

}   // namespace pikv::runtime
