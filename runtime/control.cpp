#include "runtime/control.hpp"

#include <algorithm>

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

bool admitted(std::vector<ControlState> const& states, comm::Rank rank, bool local) {
  ControlState const& mine = states[static_cast<std::size_t>(rank)];
  if (mine.head_index < 0) return false;
  if (local) return mine.head_pages <= mine.capacity_pages - mine.reserved_pages;
  std::int64_t room = 0;
  for (ControlState const& state : states) {
    room += state.capacity_pages - state.reserved_pages;
    if (state.head_index >= 0 && state.head_index <= mine.head_index) room -= state.head_pages;   // first come, first served
  }
  return room >= 0;
}

}  // namespace pikv::runtime
