#include "runtime/scheduling/selections.hpp"

#include <fmt/format.h>


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
      {"pyramid", {.policy = policy(true, [](Material const& m) { return make_pyramid(m); }), .keep = kept, .share = kept_everywhere}},
      {"chunk_select", {.policy = policy(false, [](Material const& m) { return make_chunk_select(m); }), .keep = kept, .share = kept_everywhere}},
      {"fastv", {.policy = policy(false, [](Material const& m) { return make_fastv(m); }), .keep = not_dropped,
                 .share = [](double parameter, std::int32_t layers) { return fastv_share(1 - parameter, layers); }}},
  };
  // clang-format on
  return table;
}

Selection make_selection(shards::CodecStage const& stage) {
  SelectionEntry const& entry = selections().at(stage.name);
  Selection const selection{stage.name, stage.parameter.value_or(Selection{}.parameter)};
  double const keep = entry.keep(selection.parameter);
  if (!(keep > 0 && keep <= 1))
    throw InputError(fmt::format("'{}' of codec {}:{} is not a share of the tokens it can {}; give one like {}:0.5", selection.parameter, stage.name, selection.parameter,
                                 entry.keep(0) > 0 ? "drop (0 or more, below 1)" : "keep (above 0, at most 1)", stage.name));
  return selection;
}

SchedulerEntry const& policy_named(std::string_view name) {
  if (auto const found = selections().find(name); found != selections().end()) return found->second.policy;
  return schedulers().at(name);
}

}   // namespace pikv::runtime
