#include "runtime/control.hpp"

#include <algorithm>

#include "comm/message.hpp"
#include "runtime/agree.hpp"

namespace pikv::runtime {

namespace {
constexpr std::size_t most_trouble = 1024;   // bytes of a sentence

struct PlacementHead {
  shards::Step first_step;
  shards::Epoch epoch;
  std::uint64_t places;
};

std::size_t placement_bytes(int ranks) {
  return sizeof(PlacementHead) + static_cast<std::size_t>(ranks) * 8 + shards::most_bucket_places * sizeof(shards::BucketPlace) + 8;
}

void write(comm::MessageWriter& out, PublishedPlacement const& published) {
  auto const& placement = published.placement;
  out.value(PlacementHead{published.first_step, placement.epoch, placement.places.size()});
  out.array(std::span<std::uint64_t const>{placement.weights});
  out.array(std::span<shards::BucketPlace const>{placement.places});
}

PublishedPlacement read_placement(comm::MessageReader& in, int ranks) {
  auto const head = in.value<PlacementHead>();
  PublishedPlacement published{.placement = {}, .first_step = head.first_step};
  published.placement.epoch = head.epoch;
  auto const weights = in.array<std::uint64_t>(static_cast<std::size_t>(ranks));
  auto const places = in.array<shards::BucketPlace>(head.places);
  published.placement.weights.assign(weights.begin(), weights.end());
  published.placement.places.assign(places.begin(), places.end());
  return published;
}
}  // namespace

Control::Control(comm::World& world, double deadline_s, shards::StoreOptions const& store)
    : world_{world},
      deadline_s_{deadline_s},
      exchange_{world.make_exchange({"control", 0, sizeof(ControlState) + 16 + most_trouble + 16 + placement_bytes(world.size()) +
                                                         sizeof(shards::LoadReport) + shards::Store::control_bytes(store)})},
      states_(static_cast<std::size_t>(world.size())) {}

std::vector<ControlState> const& Control::exchange(shards::Step step, ControlState const& mine, std::string const& trouble,
                                                   shards::Store& store) {
  for (comm::Rank to = 0; to < world_.size(); ++to) {
    comm::MessageWriter out{exchange_->outgoing(to)};
    out.value(mine);
    std::size_t const length = std::min(trouble.size(), most_trouble);
    out.value(std::uint64_t{length});
    out.array(std::span{trouble}.first(length));
    bool const reports = to == 0 && to_report_;
    out.value(std::uint64_t{to_publish_.has_value()});
    if (to_publish_) write(out, *to_publish_);
    out.value(std::uint64_t{reports});
    if (reports) out.value(*to_report_);
    store.write_control(to, out);
  }
  exchange_->start();
  to_publish_.reset();
  to_report_.reset();
  published_.reset();
  reported_.clear();
  shards::finish_or_throw(world_, *exchange_, deadline_s_, step, -1);
  for (comm::Rank from = 0; from < world_.size(); ++from) {
    comm::MessageReader in{exchange_->incoming(from)};
    states_[static_cast<std::size_t>(from)] = in.value<ControlState>();
    auto const text = in.array<char>(in.value<std::uint64_t>());
    if (!text.empty()) throw AgreedError({1, "rank " + std::to_string(from) + ": " + std::string{text.begin(), text.end()}});
    if (in.value<std::uint64_t>() != 0) published_ = read_placement(in, world_.size());
    if (in.value<std::uint64_t>() != 0) reported_.push_back(in.value<shards::LoadReport>());
    store.read_control(from, in);
  }
  return states_;
}

bool all_idle(std::vector<ControlState> const& states) {
  return std::ranges::all_of(states, [](ControlState const& state) { return state.idle != 0; });
}

std::size_t admitted(std::vector<ControlState> const& states, comm::Rank rank, bool local) {
  struct Waiting {
    std::int64_t turn;   // a head never starts before those in front of it at its own rank
    comm::Rank rank;
    std::int64_t pages;
  };
  std::vector<Waiting> waiting;
  std::int64_t room = 0;
  for (comm::Rank of = 0; of < static_cast<comm::Rank>(states.size()); ++of) {
    if (local && of != rank) continue;
    ControlState const& state = states[static_cast<std::size_t>(of)];
    room += state.capacity_pages - state.reserved_pages;
    std::int64_t turn = 0;
    for (Head const& head : state.heads) {
      if (head.index < 0) break;
      turn = std::max(turn, head.index);
      waiting.push_back({turn, of, head.pages});
    }
  }
  std::ranges::stable_sort(waiting, {}, &Waiting::turn);
  std::size_t mine = 0;
  for (Waiting const& next : waiting) {
    room -= next.pages;
    if (room < 0) break;
    mine += next.rank == rank ? 1 : 0;
  }
  return mine;
}

}  // namespace pikv::runtime
