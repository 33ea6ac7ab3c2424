#include "runtime/coordinator/coordinator.hpp"

#include <utility>

namespace pikv::runtime {

Coordinator::Coordinator(CoordinatorOptions const& options, shards::PlacementOptions first, std::vector<std::uint64_t> capacity, std::uint64_t page_bytes)
    : options_{options}, current_{std::move(first)}, capacity_{std::move(capacity)}, page_bytes_{page_bytes}, loads_(capacity_.size()) {}

// Those that join store at once; those that leave, when the others have room for all that is reserved.
std::uint64_t Coordinator::wanted_weight(std::size_t rank, shards::Step step, std::int64_t room) const {
  bool const stays = room < 0 && current_.weights[rank] > 0;
  return stays || options_.ranks.storing(step)[rank] ? capacity_[rank] : 0;
}

bool Coordinator::ranks_change(shards::Step step, std::int64_t room) const {
  for (std::size_t rank = 0; rank < capacity_.size(); ++rank)
    if (wanted_weight(rank, step, room) != current_.weights[rank]) return true;
  return false;
}

std::optional<PublishedPlacement> Coordinator::decide(shards::Step step, Seen const& seen, std::function<void(PlanRows const&)> const& observe) {
  if (!seen.loads.empty()) loads_ = seen.loads;
  if (step < starts_) return std::nullopt;   // the last one is still on its way out
  bool const look = !seen.loads.empty() && seen.settled;
  if (!look && !ranks_change(step, seen.room)) return std::nullopt;
  PlanInput input{.step = step, .current = current_, .weights = {}, .loads = loads_, .page_bytes = page_bytes_};
  for (std::size_t rank = 0; rank < capacity_.size(); ++rank) input.weights.push_back(wanted_weight(rank, step, seen.room));
  Planned const planned = plan(input);
  shards::Step const first_step = step + 2;   // sent in the exchange of step + 1
  if (observe) observe(rows_of(input, planned, first_step));
  if (!planned.adopted) return std::nullopt;
  current_ = planned.next;
  starts_ = first_step;
  return PublishedPlacement{current_, first_step};
}

}  // namespace pikv::runtime
