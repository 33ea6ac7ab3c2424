#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "comm/world.hpp"
#include "comm/error.hpp"
#include "shards/arena.hpp"
#include "shards/counts.hpp"
#include "shards/queue.hpp"
#include "shards/staging.hpp"
#include "shards/store_options.hpp"
#include "shards/stream.hpp"

namespace pikv::shards {

/// A page that is nowhere any more: its stream must be rewound to `block`.
struct Damage {
  Stream* stream = nullptr;
  Block block = 0;
  bool not_finite = false;   // attention over pages from `block` on gave no number: computed again, it would be the same
};

/// Verified copies of remote pages in the home's part of the arena, fetched by one-sided get. A copy is good as long as the
/// directory entry that points to it. Layers are read in turn, over and over, so the copies to give up for new ones of a layer
/// are those of the layer just read: the one that is needed last.
class Replicas {
 public:
  Replicas(comm::World& world, comm::Transport& transport, Arena& arena, StoreOptions const& options, Counts& counts);

  /// How many pages of `layer` in slots of that size class could be fetched now, copies of other layers making room.
  std::size_t room(std::int32_t layer, std::int32_t size_class) const;
  /// Starts the gets of a remote page. At most room() of them before finish().
  void fetch(Stream& stream, std::int32_t layer, Block block);
  /// Waits, verifies every header and payload, gets damaged ones again. Pages that stay damaged or are gone become lost.
  void finish(std::vector<Damage>& damages);

  /// Frees a copy, the last to be needed by a walk over the layers that is at `layer`, but none of `layer` itself unless
  /// nothing else is left to give and `any`. False if there is none in a slot of that size class.
  bool drop_one(std::int32_t layer, std::int32_t size_class, bool any);
  /// Frees the copies of a stream from a block on.
  void drop(Stream const& stream, Block from);
  /// Frees the copy of a page, if there is one.
  void drop(Stream const& stream, std::int32_t table, Block block);
  /// Frees the rotten copy in a slot; false if there is none in it.
  bool drop(Slot slot);
  std::size_t pages(std::int32_t size_class) const { return pages_[static_cast<std::size_t>(size_class)]; }

 private:
  struct Copy {
    Stream* stream;
    std::int32_t layer;
    Block block;
    Slot slot;
  };
  struct Get {
    Copy copy;
    comm::Op header, payload;
    std::span<std::byte> landed;   // where the payload comes: its slot, or host memory on its way to the device
  };
  std::size_t queue(std::int32_t layer, std::int32_t size_class) const {
    return static_cast<std::size_t>(layer) * static_cast<std::size_t>(arena_.classes()) + static_cast<std::size_t>(size_class);
  }
  std::size_t started(std::int32_t size_class) const;
  void start(Get& get);
  void free(Copy const& copy);
  void wait(Get const& get, comm::Deadline deadline);

  comm::World& world_;
  comm::Transport& transport_;
  Arena& arena_;
  StoreOptions const& options_;
  Counts& counts_;
  std::vector<Queue<Copy>> held_;   // by queue()
  std::vector<std::size_t> pages_;   // by size class
  std::vector<Get> started_, again_;
  Staging landing_{arena_.device()};
};

}  // namespace pikv::shards
