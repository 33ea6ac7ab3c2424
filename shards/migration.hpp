#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "comm/message.hpp"
#include "shards/arena.hpp"
#include "shards/home.hpp"
#include "shards/owner.hpp"
#include "shards/stream.hpp"

namespace pikv::shards {

/// A home's order to the owner of a page: push it to `to`.
struct MoveOrder {
  std::int32_t slot = -1;
  comm::Rank to = -1;
  std::uint64_t generation = 0;
};

/// The one answer to each order, from the old owner.
struct MoveAnswer {
  std::int32_t slot = -1, new_slot = -1;   // new_slot -1: the page stays, or has gone
  std::uint64_t generation = 0, new_generation = 0;
};

/// Pages follow a new placement. Their homes alone decide: a home walks over its streams' pages, some in each step, and orders those that
/// should lie elsewhere away from their owners; the own ones on its own shard it pushes itself. The old owner acts as a writer towards
/// the new one (Home's channels: slots granted ahead, payload, flush, header, verified when indexed, repeated until acknowledged) and
/// goes on serving the page meanwhile. When the new owner has acknowledged, the old one answers the home, which reads from the new place
/// from then on and retires the old one. So no reader ever looks in vain. A page that finds no room stays where it is; if that rank is to
/// store nothing any more, its other choices are tried in turn.
///
/// Time of a move: ordered in the control exchange of s; slot asked for in s+1, granted in s+2, pushed at its end; indexed in s+3;
/// acknowledged in s+4; answered in s+5; the old slot retired in s+6.
///
/// A stream released meanwhile: the old owner drops the page as always, but keeps its bytes until the push is over; the home, hearing
/// that what it no longer has arrived somewhere, retires it there.
class Migration {
 public:
  Migration(comm::Rank self, int ranks, Arena& arena, Owner& owner, Home& home, StoreOptions const& options);

  static constexpr std::size_t most_ordered = 256;    // orders of one home to one owner without an answer yet
  static constexpr std::size_t most_looks = 4096;     // pages of own streams looked at in a step
  static constexpr std::size_t control_bytes = 32 + most_ordered * (sizeof(MoveOrder) + sizeof(MoveAnswer));

  void write_control(comm::Rank to, comm::MessageWriter& out);
  void read_control(comm::Rank from, comm::MessageReader& in);
  /// After Owner's and Home's.
  void after_control(Step step, std::span<std::unique_ptr<Stream> const> streams);

  /// The placement is a new one: pages begin to move.
  void start(std::span<std::unique_ptr<Stream> const> streams);
  /// The pages of `stream` from `from` on are about to be released.
  void forget(Stream const& stream, Block from);
  /// The stream at `place` of after_control's list is about to be taken out of it, those behind it move up.
  void close(std::size_t place);
  /// True when every page of this home lies where the placement wants it, or at least on a rank that stores pages, no other having room.
  bool settled() const { return settled_; }

 private:
  struct Ordered {
    Stream* stream;   // null: released meanwhile
    std::int32_t layer;
    Block block;
    MoveOrder order;
  };
  struct Peer {
    std::vector<Ordered> ordered;        // to it as an owner, without answer yet; the newest are unsent
    std::size_t unsent = 0;
    std::vector<MoveAnswer> answers;     // to it as a home
    std::span<MoveOrder const> orders_in;
    std::span<MoveAnswer const> answers_in;
  };
  Peer& peer(comm::Rank rank) { return peers_[static_cast<std::size_t>(rank)]; }
  void take_answer(comm::Rank from, MoveAnswer const& answer, Step step);
  void arrived(Ordered const& page, comm::Rank from, MoveAnswer const& answer, Step step);
  void take_order(comm::Rank from, MoveOrder const& order);
  void answer_for(Home::Left const& page, Step step);
  void walk(Step step, std::span<std::unique_ptr<Stream> const> streams);
  void consider(Stream& stream, std::int32_t layer, Block block);

  comm::Rank self_;
  Arena& arena_;
  Owner& owner_;
  Home& home_;
  StoreOptions const& options_;
  std::vector<Peer> peers_;
  bool settled_ = true, clean_ = true;   // clean: this pass of the walk found nothing that moves or should
  bool refused_ = false;                 // something was, since the last pass: wait before the next
  Step next_pass_ = 0;
  std::size_t next_stream_ = 0;
  Block next_block_ = 1;
};

}  // namespace pikv::shards
