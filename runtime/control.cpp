#include "runtime/control.hpp"

#include <algorithm>
#include <numeric>

#include "comm/message.hpp"
#include "runtime/agree.hpp"

namespace pikv::runtime {

namespace {
constexpr std::size_t most_trouble = 1024;   // bytes of a sentence
}

Control::Control(comm::World& world, double deadline_s)
    : world_{world},
      deadline_s_{deadline_s},
      exchange_{world.make_exchange({"control", 0, sizeof(ControlState) + 16 + most_trouble + shards::Store::control_bytes})},
      states_(static_cast<std::size_t>(world.size())) {}

std::vector<ControlState> const& Control::exchange(shards::Step step, ControlState const& mine, std::string const& trouble,
                                                   shards::Store& store) {
  for (comm::Rank to = 0; to < world_.size(); ++to) {
    comm::MessageWriter out{exchange_->outgoing(to)};
    out.value(mine);
    std::size_t const length = std::min(trouble.size(), most_trouble);
    out.value(std::uint64_t{length});
    out.array(std::span{trouble}.first(length));
    store.write_control(to, out);
  }
  exchange_->start();
  shards::finish_or_throw(world_, *exchange_, deadline_s_, step, -1);
  for (comm::Rank from = 0; from < world_.size(); ++from) {
    comm::MessageReader in{exchange_->incoming(from)};
    states_[static_cast<std::size_t>(from)] = in.value<ControlState>();
    auto const text = in.array<char>(in.value<std::uint64_t>());
    if (!text.empty()) throw AgreedError({1, "rank " + std::to_string(from) + ": " + std::string{text.begin(), text.end()}});
    store.read_control(from, in);
  }
  return states_;
}

std::vector<bool> admitted(std::vector<ControlState> const& states, bool local) {
  std::int64_t shared = 0;
  for (ControlState const& state : states) shared += state.capacity_pages - state.reserved_pages;
  std::vector<std::size_t> order(states.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return states[a].head_index < states[b].head_index; });
  std::vector<bool> start(states.size(), false);
  for (std::size_t const rank : order) {
    ControlState const& state = states[rank];
    if (state.head_index < 0) continue;
    std::int64_t const room = local ? state.capacity_pages - state.reserved_pages : shared;
    if (state.head_pages > room) {
      if (local) continue;
      break;   // first come, first served: a smaller request behind does not overtake
    }
    start[rank] = true;
    shared -= state.head_pages;
  }
  return start;
}

}  // namespace pikv::runtime
