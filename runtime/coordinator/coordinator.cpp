#include "runtime/coordinator/coordinator.hpp"

#include <utility>

namespace pikv::runtime {

Coordinator::Coordinator(CoordinatorOptions const& options, shards::PlacementOptions first, std::vector<std::uint64_t> capacity, std::uint64_t page_bytes)
    : options_{options}, current_{std::move(first)}, capacity_{std::move(capacity)}, page_bytes_{page_bytes}, loads_(capacity_.size()) {}

// Those that join store at once; those that leave, when the others have room for all that is reserved.
std::vector<std::uint64_t> Coordinator::wanted_weights(shards::Step step, std::int64_t room) const {
  auto const& storing = options_.ranks.storing(step);
  std::vector<std::uint64_t> weights(capacity_.size(), 0);
  for (std::size_t rank = 0; rank < weights.size(); ++rank)
    if (storing[rank] || (room < 0 && current_.weights[rank] > 0)) weights[rank] = capacity_[rank];
  return weights;
}

std::optional<PublishedPlacement> Coordinator::decide(shards::Step step, Seen const& seen, std::function<void(PlanRows const&)> const& observe) {
  if (!seen.loads.empty()) loads_ = seen.loads;
  if (step < starts_) return std::nullopt;   // the last one is still on its way out
  PlanInput input{.step = step, .current = current_, .weights = wanted_weights(step, seen.room), .loads = loads_, .page_bytes = page_bytes_};
  bool const look = !seen.loads.empty() && seen.settled;
  if (input.weights == current_.weights && !look) return std::nullopt;
  Planned const planned = plan(input);
  shards::Step const first_step = step + 2;   // sent in the exchange of step + 1
  if (observe) observe(rows_of(input, planned, first_step));
  if (!planned.adopted) return std::nullopt;
  current_ = planned.next;
  starts_ = first_step;
  return PublishedPlacement{current_, first_step};
}

}  // namespace pikv::runtime
