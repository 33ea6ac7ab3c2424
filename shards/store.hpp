#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "comm/message.hpp"
#include "comm/world.hpp"
#include "kernels/stream.hpp"
#include "shards/arena.hpp"
#include "shards/counts.hpp"
#include "shards/home.hpp"
#include "shards/owner.hpp"
#include "shards/queries.hpp"
#include "shards/read_sample.hpp"
#include "shards/replicas.hpp"
#include "shards/scrub.hpp"
#include "shards/segment.hpp"
#include "shards/store_options.hpp"

namespace pikv::shards {

/// The distributed KV cache as an engine sees it (library pikv::cache): streams of tokens whose keys and values live in pages over all
/// ranks, and exact attention over them. All ranks step together; a rank without rows takes part all the same. One step:
///
///   store.plan(segments)                        what this rank will append
///   store.write_control(r, ...)  for each r     into the engine's control exchange; then, that being finished,
///   store.read_control(r, ...)   for each r
///   store.begin_step(step, oldest, segments)
///   for each layer: append(layer, k, v); attend_start(layer, q); attend_finish(layer, out)     (two exchanges)
///   store.end_step()                            seals and pushes; tells which streams were damaged
///   rewind, release, open                       between steps
///
/// Throws RunError when a peer does not answer in time; nothing it throws can be gone on from.
class Store {
 public:
  /// Collective. All options but the slots must be equal on all ranks.
  Store(comm::World& world, StoreOptions const& options);
  ~Store();

  /// Throws std::logic_error if a stream of that id is open.
  Stream& open(StreamId id, Block most_blocks);
  /// The sequence has ended: its pages are freed everywhere.
  void release(Stream& stream);
  /// Drops `block` and what follows in all layers; the tokens from there on must be appended again.
  void rewind(Stream& stream, Block block);
  /// Gives back fetched copies of the stream's pages (its prompt is in: decode ships queries).
  void drop_replicas(Stream const& stream) { replicas_.drop(stream, 0); }

  /// Home slots that the next begin_step may still open, copies of remote pages making room.
  std::size_t free_home_slots() const;
  std::size_t new_pages(Stream const& stream, std::int32_t rows) const { return home_.new_pages(stream, rows); }
  /// Slots that pages of streams can fill in the long run, of this rank: what admission reserves from.
  std::size_t capacity() const { return options_.local ? options_.slots - options_.home_slots : owner_.quota(); }

  static constexpr std::size_t control_bytes = Home::control_bytes + Owner::control_bytes;
  void plan(std::span<Segment const> segments);
  void write_control(comm::Rank to, comm::MessageWriter& out);
  void read_control(comm::Rank from, comm::MessageReader& in);
  /// `oldest_step_in_flight`: the minimum over ranks of their steps, from the control exchange.
  void begin_step(Step step, Step oldest_step_in_flight, std::span<Segment const> segments);

  /// k, v [rows][kv_heads][head_dim] fp32, rotated keys: stored rounded to the page type.
  void append(std::int32_t layer, float const* k, float const* v);
  /// q [rows][q_heads][head_dim] fp32, untouched until attend_finish.
  void attend_start(std::int32_t layer, float const* q);
  /// out [rows][q_heads][head_dim]: exact attention of each row over all tokens of its stream up to itself.
  void attend_finish(std::int32_t layer, float* out);

  /// True once a page of the stream turned out lost in this step: its outputs are void from there on.
  bool damaged(Stream const& stream) const;
  /// Damaged streams (each once, with the first lost block) did not advance: rewind them; what was computed for them in this step
  /// is void. All others have their rows.
  std::span<Damage const> end_step();

  Counts const& counts() const { return counts_; }
  MemoryAccount const& memory() const { return arena_.account(); }
  Owner& owner() { return owner_; }
  Owner const& owner() const { return owner_; }
  Arena& arena() { return arena_; }
  PageEvents const& events() const { return arena_.events(); }
  comm::Transport const& transport() const { return *transport_; }
  Queries const& queries() const { return queries_; }
  std::uint64_t tokens_resident() const;
  /// Pages of own streams in this rank's arena, copies of remote ones left out.
  std::size_t pages_home() const;
  StoreOptions const& options() const { return options_; }
  /// Seconds in attention, and in waits and transfers, since construction.
  double attention_seconds() const { return attention_seconds_ + queries_.attention_seconds(); }
  double communication_seconds() const { return communication_seconds_; }

 private:
  void scrub();
  void mark_rotten(Slot slot);
  void gather_remote(Segment const& segment, std::int32_t layer);
  void choose_moves(Segment const& segment, std::int32_t first_row, std::int32_t layer, float const* q);
  void plan_local(std::int32_t layer);
  void record_hits();

  comm::World& world_;
  StoreOptions options_;
  Counts counts_;
  std::unique_ptr<comm::Transport> transport_;
  Arena arena_;
  Owner owner_;
  Home home_;
  Replicas replicas_;
  Queries queries_;
  Scrub scrub_;
  kernels::Stream host_;
  std::vector<std::unique_ptr<Stream>> streams_;

  Step step_ = 0;
  std::vector<Segment> segments_;
  std::int32_t rows_ = 0;
  float const* q_ = nullptr;
  std::vector<std::vector<Block>> remote_;   // by owner: blocks of one segment to be read there
  std::vector<Damage> damages_, lost_;
  struct PageRead {
    Stream* stream;
    std::int32_t layer;
    Block block;
  };
  ReadSample sample_;
  std::vector<PageRead> sampled_;   // reads of this layer that are written down once they are known to have found their page
  Plan plan_;
  PartialBuffer partial_;
  std::vector<std::int32_t> row_slot_, row_at_;
  double attention_seconds_ = 0, communication_seconds_ = 0;
};

/// The model's fingerprint with the page's shape mixed in: pages of another shape are another model's.
Fingerprint page_fingerprint(Fingerprint const& model, kernels::PageLayout const& layout);

}  // namespace pikv::shards
