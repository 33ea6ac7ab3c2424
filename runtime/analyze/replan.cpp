#include "runtime/analyze/replan.hpp"

#include <fmt/core.h>

#include <exception>
#include <functional>

#include "comm/error.hpp"
#include "runtime/coordinator/planner.hpp"

namespace pikv::runtime::analyze {
namespace {

std::string difference(PlanRows const& was, PlanRows const& is) {
  PlanRecord const &a = was.plan, &b = is.plan;
  if (a.reason != b.reason || a.adopted != b.adopted) return "decided otherwise";
  if (a.imbalance != b.imbalance || a.predicted != b.predicted) return fmt::format("imbalance {} -> {} instead of {} -> {}", b.imbalance, b.predicted, a.imbalance, a.predicted);
  if (a.saved_bytes != b.saved_bytes || a.cost_bytes != b.cost_bytes) return "weighed otherwise";
  if (a.adopted != 0 && places_of(was.places) != places_of(is.places)) return "buckets placed otherwise";
  return "";
}

/// Calls `tell` with each plan and how it differs when made again.
void remake(Trace const& trace, std::function<void(PlanRows const&, std::string const&)> const& tell) {
  std::vector<shards::BucketPlace> current;
  for (PlanRows const& rows : trace.plans) {
    std::string differs;
    try {
      PlanInput const input = input_of(rows, current);
      differs = difference(rows, rows_of(input, plan(input), rows.plan.first_step));
      if (rows.plan.adopted != 0) current = places_of(rows.places);
    } catch (std::exception const& error) {   // rows that no coordinator writes
      differs = error.what();
    }
    tell(rows, differs);
  }
}

}   // namespace

std::string replan(Trace const& trace) {
  if (trace.plans.empty())
    throw RunError(fmt::format("{} has no plans; --rank-plan, or a run longer than --rebalance-steps, makes some", trace.path.string()));
  std::string text;
  remake(trace, [&](PlanRows const& rows, std::string const& differs) {
    PlanRecord const& row = rows.plan;
    text += fmt::format("step {}: {}, busiest rank {:.2f} of the mean, {:.2f} planned, saves {} for {} bytes, {}: {}\n", row.step,
                        to_string(static_cast<PlanReason>(row.reason)), row.imbalance, row.predicted, row.saved_bytes, row.cost_bytes,
                        row.adopted != 0 ? fmt::format("adopted from step {}", row.first_step) : "left", differs.empty() ? "the same" : differs);
  });
  return text;
}

void check_replanned(Trace const& trace) {
  std::size_t different = 0;
  remake(trace, [&](PlanRows const&, std::string const& differs) { different += differs.empty() ? 0 : 1; });
  if (different > 0)
    throw CheckError(fmt::format("{} of {} plans come out otherwise; use the version that wrote the trace ({})", different, trace.plans.size(), trace.version));
}

}   // namespace pikv::runtime::analyze
