#include "shards/migration.hpp"

#include <algorithm>
#include <string>

namespace pikv::shards {

namespace {
constexpr Step rest_after_refusal = 16;
}

Migration::Migration(comm::Rank self, int ranks, Arena& arena, Owner& owner, Home& home, StoreOptions const& options)
    : self_{self}, arena_{arena}, owner_{owner}, home_{home}, options_{options}, peers_(static_cast<std::size_t>(ranks)) {}

void Migration::write_control(comm::Rank to, comm::MessageWriter& out) {
  Peer& peer = this->peer(to);
  out.value(std::uint64_t{peer.unsent});
  out.value(std::uint64_t{peer.answers.size()});
  auto const orders = out.reserve<MoveOrder>(peer.unsent);
  std::transform(peer.ordered.end() - static_cast<std::ptrdiff_t>(peer.unsent), peer.ordered.end(), orders.begin(), [](Ordered const& page) { return page.order; });
  out.array(std::span<MoveAnswer const>{peer.answers});
  peer.unsent = 0;
  peer.answers.clear();
}

void Migration::read_control(comm::Rank from, comm::MessageReader& in) {
  Peer& peer = this->peer(from);
  auto const orders = in.value<std::uint64_t>();
  auto const answers = in.value<std::uint64_t>();
  peer.orders_in = in.array<MoveOrder>(orders);
  peer.answers_in = in.array<MoveAnswer>(answers);
}

void Migration::after_control(Step step, std::span<std::unique_ptr<Stream> const> streams) {
  for (comm::Rank from = 0; from < static_cast<comm::Rank>(peers_.size()); ++from) {
    for (MoveAnswer const& answer : peer(from).answers_in) take_answer(from, answer, step);
    for (MoveOrder const& order : peer(from).orders_in) take_order(from, order);
    peer(from).answers_in = {};
    peer(from).orders_in = {};
  }
  for (Home::Left const& page : home_.left()) answer_for(page, step);
  home_.left().clear();
  walk(step, streams);
}

void Migration::take_answer(comm::Rank from, MoveAnswer const& answer, Step step) {
  auto& ordered = peer(from).ordered;
  auto const found = std::ranges::find_if(
      ordered, [&](Ordered const& page) { return page.order.slot == answer.slot && page.order.generation == answer.generation; });
  if (found == ordered.end()) throw RunError("rank " + std::to_string(from) + " answered for a page that was not to move; the control exchange is broken");
  Ordered const page = *found;
  ordered.erase(found);
  if (answer.new_slot >= 0) return arrived(page, from, answer, step);
  if (page.stream == nullptr) return;
  DirectoryEntry& entry = page.stream->directory_.at(page.layer, page.block);
  entry.moving = false;
  ++entry.refusals;
}

void Migration::arrived(Ordered const& page, comm::Rank from, MoveAnswer const& answer, Step step) {
  comm::Rank const to = page.order.to;
  Grant const there{answer.new_slot, 0, answer.new_generation};
  Slot const here{there.slot};   // if it has come home
  bool const is_here = to == self_ && owner_.indexed(here).home == self_ && arena_.generation(here) == there.generation;
  if (page.stream == nullptr) {
    if (is_here) owner_.evict(here, step);
    if (to != self_) home_.retire_at(to, there);
    return;
  }
  DirectoryEntry& entry = page.stream->directory_.at(page.layer, page.block);
  entry.moving = false;
  if (to == self_) {
    if (!is_here) return;   // it has rotted since: it stays where it was
    owner_.come_home(here);
    entry.life = PageLife::sealed;
    entry.local = here;
    entry.slot = {};
    entry.moved = false;
  } else {
    entry.slot = {there.slot};
    entry.generation = there.generation;
    entry.moved = true;
  }
  entry.owner = to;
  arena_.events().record(PageEvent::migrate, page.stream->id(), page.layer, page.block, to, here, there.generation);
  home_.retire_at(from, {page.order.slot, 0, page.order.generation});
}

void Migration::take_order(comm::Rank from, MoveOrder const& order) {
  Slot const slot{order.slot};
  home_.leave(order.to, {.home = from, .slot = slot, .generation = order.generation});   // whether it is there is looked at when its turn comes
}

void Migration::answer_for(Home::Left const& page, Step step) {
  if (page.pushed) owner_.let_go(page.slot, step);
  peer(page.home).answers.push_back({page.slot.index, page.arrived ? page.at.slot : -1, page.generation, page.at.generation});
}

void Migration::start(std::span<std::unique_ptr<Stream> const> streams) {
  for (auto const& stream : streams)
    for (Block block = 0; block < stream->directory_.blocks(); ++block)
      for (std::int32_t layer = 0; layer < options_.layers; ++layer) stream->directory_.at(layer, block).refusals = 0;
  settled_ = clean_ = refused_ = false;
  next_pass_ = 0;
  next_stream_ = 0;
  next_block_ = 1;
}

void Migration::forget(Stream const& stream, Block from) {
  for (Peer& peer : peers_)
    for (Ordered& page : peer.ordered)
      if (page.stream == &stream && page.block >= from) page.stream = nullptr;
}

void Migration::close(std::size_t place) {
  if (place < next_stream_) --next_stream_;
  else if (place == next_stream_) next_block_ = 1;
}

// Round and round, until a whole pass has found nothing that should move and nothing that does. A new page on its way to where it
// belongs is neither.
void Migration::walk(Step step, std::span<std::unique_ptr<Stream> const> streams) {
  if (settled_ || step < next_pass_) return;
  std::size_t looks = 0;
  while (looks < most_looks) {
    if (next_stream_ >= streams.size()) {
      settled_ = clean_;
      next_pass_ = refused_ ? step + rest_after_refusal : 0;
      clean_ = true;
      refused_ = false;
      next_stream_ = 0;
      next_block_ = 1;
      return;
    }
    Stream& stream = *streams[next_stream_];
    if (next_block_ >= stream.directory_.blocks()) {
      ++next_stream_;
      next_block_ = 1;   // block 0 never leaves
      continue;
    }
    for (std::int32_t layer = 0; layer < options_.layers; ++layer, ++looks) consider(stream, layer, next_block_);
    ++next_block_;
  }
}

void Migration::consider(Stream& stream, std::int32_t layer, Block block) {
  DirectoryEntry& entry = stream.directory_.at(layer, block);
  if (entry.life == PageLife::open || entry.life == PageLife::lost || entry.life == PageLife::evicted) return;
  comm::Rank target = home_.target(entry.expert, stream.id(), block);
  bool const at_rest = !entry.moving && (entry.life == PageLife::remote || (entry.life == PageLife::sealed && entry.owner == self_));
  if (at_rest && entry.refusals > 0) {
    if (home_.stores(entry.owner)) return;   // it may stay
    refused_ = true;
    target = home_.target(entry.expert, stream.id(), block, entry.refusals);
  }
  if (entry.owner == target && !entry.moving) return;
  clean_ = false;
  if (entry.moving || entry.recoding || entry.rotten) return;
  if (entry.life == PageLife::sealed && entry.owner == self_) {
    entry.moving = true;
    home_.leave(target, {.home = -1, .stream = &stream, .layer = layer, .block = block, .slot = entry.local});
  } else if (entry.life == PageLife::remote && peer(entry.owner).ordered.size() < most_ordered) {
    entry.moving = true;
    peer(entry.owner).ordered.push_back({&stream, layer, block, {entry.slot.index, target, entry.generation}});
    ++peer(entry.owner).unsent;
  }
}

}  // namespace pikv::shards
