#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "comm/message.hpp"
#include "comm/world.hpp"
#include "shards/arena.hpp"
#include "shards/attention.hpp"
#include "shards/cache_policy.hpp"
#include "shards/counts.hpp"
#include "shards/home.hpp"
#include "shards/load_report.hpp"
#include "shards/migration.hpp"
#include "shards/owner.hpp"
#include "shards/queries.hpp"
#include "shards/recoding.hpp"
#include "shards/replicas.hpp"
#include "shards/scrub.hpp"
#include "shards/segment.hpp"
#include "shards/store_options.hpp"
#include "shards/tiers.hpp"

namespace pikv::shards {

/// The distributed KV cache as an engine sees it (library pikv::cache): streams of tokens whose keys and values live in pages over all
/// ranks, and attention over them: exact, or over what a policy chooses. All ranks step together; a rank without rows takes part all the same. One step:
///
///   store.plan(segments)                        what this rank will append
///   store.write_control(r, ...)  for each r     into the engine's control exchange; then, that being finished,
///   store.read_control(r, ...)   for each r
///   store.begin_step(step, oldest, segments)
///   for each layer: append(layer, k, v); attend_start(layer, q); attend_finish(layer, out)   (two exchanges, or four); all in the device's memory
///   store.end_step()                            seals and pushes; tells which streams were damaged
///   rewind, release, open                       between steps
///
/// Throws RunError when a peer does not answer in time; nothing it throws can be gone on from.
class Store {
 public:
  /// Collective. All options but the slots must be equal on all ranks.
  /// `policy`, borrowed, decides what is read; null: every page is.
  Store(comm::World& world, StoreOptions const& options, CachePolicy* policy = nullptr);
  ~Store();

  /// Throws std::logic_error if a stream of that id is open.
  Stream& open(StreamId id, Block most_blocks);
  /// The sequence has ended: its pages are freed everywhere.
  void release(Stream& stream);
  /// Drops `block` and what follows in all layers; the tokens from there on must be appended again.
  void rewind(Stream& stream, Block block);
  /// Between steps: the next block of a stream that goes on, read instead of computed, see Home::restore. The caller has made sure that
  /// free_home_slots() covers a page per layer.
  bool restore(Stream& stream, ReadPage const& read);
  /// No more of it is read: its pages may cool.
  void restored(Stream& stream) { stream.cools_ = true; }
  /// Whether this home has slots for a block that would be read so: its pages may be of any size class.
  bool has_room(ReadPage const& read) const;
  /// Between steps: drops a sealed page of one table, counted from the first layer's (StoreOptions::tables_per_layer). Its bytes are free at
  /// once, or as soon as its owner hears of it. False: not now, the page is on its way somewhere. Block 0 and the open page stay.
  bool evict(Stream& stream, std::int32_t table, Block block);
  /// Between steps, with options.tiers: moves a sealed page of one table to another tier. Its slot there is free at once. False: it stays where
  /// it is, for want of room, or since it is not sealed or damaged (then its stream is rewound when it is read).
  bool move(Stream& stream, std::int32_t table, Block block, TierKind to) { return tiers_.move(stream, table, block, to); }
  /// With options.tiers.
  Tiers& tiers() { return tiers_; }
  /// In a slower tier: bytes of the pages there, headers included.
  std::size_t tier_bytes(TierKind kind) const { return tiers_.on() ? tiers_.tier(kind).bytes() : 0; }
  /// Gives back fetched copies of the stream's pages (its prompt is in: decode ships queries).
  void drop_replicas(Stream const& stream) { replicas_.drop(stream, 0); }

  /// Home slots that the next begin_step may still open, copies of remote pages making room.
  std::size_t free_home_slots() const;
  std::size_t new_pages(Stream const& stream, std::int32_t rows) const { return home_.new_pages(stream, rows); }
  /// Slots that pages of streams can fill in the long run, of this rank: what admission reserves from.
  std::size_t capacity() const { return stream_pages(options_); }

  /// A control message at most.
  static std::size_t control_bytes(StoreOptions const& options) {
    return static_cast<std::size_t>(options.classes()) * (Home::control_bytes + Owner::control_bytes) + Migration::control_bytes + Recoding::control_bytes(options);
  }
  /// Before the plan() of the same step on every rank: new pages go where it says from now on, and the stored ones begin to move there.
  void place(PlacementOptions const& placement);
  comm::Rank target(KvExpert expert, StreamId const& stream, Block block) const { return home_.target(expert, stream, block); }
  PlacementOptions const& placement() const { return home_.placement().options(); }
  /// What this rank stores as an owner, and page reads it has served as such since the last call. Walks over all slots.
  LoadReport report_loads();
  /// False while pages of this home are on their way to where the placement wants them.
  bool settled() const { return migration_.settled(); }
  void plan(std::span<Segment const> segments);
  void write_control(comm::Rank to, comm::MessageWriter& out);
  void read_control(comm::Rank from, comm::MessageReader& in);
  /// `oldest_step_in_flight`: the minimum over ranks of their steps, from the control exchange.
  void begin_step(Step step, Step oldest_step_in_flight, std::span<Segment const> segments);

  /// In `layer` of the model. k, v [rows][kv_heads of the layer][head_dim] fp32, rotated keys: stored rounded to the page type.
  void append(std::int32_t layer, float const* k, float const* v) { attention_.append(layer, k, v); }
  /// q [rows][q_heads of the layer][head_dim] fp32, untouched until attend_finish.
  void attend_start(std::int32_t layer, float const* q) { attention_.start(layer, q); }
  /// out [rows][q_heads of the layer][head_dim]: attention of each row over the tokens of its stream up to itself: all of them, or those
  /// whose pages exist and the policy chose.
  void attend_finish(std::int32_t layer, float* out) { attention_.finish(layer, out, damages_); }

  /// After attend_finish: the blocks that the stream's last row has read in a table of that layer.
  std::span<Block const> blocks_read(Stream const& stream, std::int32_t table) const { return attention_.blocks_read(stream, table); }

  /// Whether the home policy wants gated().
  bool wants_gate() const { return home_.experts().wants_gate(); }
  /// The model's gate in `layer` for the step's rows: probability [rows][experts].
  void gated(std::int32_t layer, float const* probability, std::int32_t experts) { home_.experts().gated(segments_, layer, probability, experts); }

  /// True once a page of the stream turned out lost in this step: its outputs are void from there on.
  bool damaged(Stream const& stream) const;
  /// Damaged streams (each once, with the first lost block) did not advance: rewind them; what was computed for them in this step
  /// is void. All others have their rows.
  std::span<Damage const> end_step();

  /// So many bytes of summaries are kept beside this store's own, now.
  void account_summaries(std::size_t bytes) { arena_.account().outside(Memory::summaries, bytes + home_.experts().bytes()); }
  Counts const& counts() const { return counts_; }
  MemoryAccount const& memory() const { return arena_.account(); }
  Owner& owner() { return owner_; }
  Owner const& owner() const { return owner_; }
  Arena& arena() { return arena_; }
  Arena const& arena() const { return arena_; }
  PageEvents const& events() const { return arena_.events(); }
  comm::Rank self() const { return world_.rank(); }
  comm::Transport const& transport() const { return *transport_; }
  Queries const& queries() const { return queries_; }
  std::uint64_t tokens_resident() const;
  /// Payload of a page that exists, as it is stored.
  std::size_t page_bytes(std::int32_t table, DirectoryEntry const& entry) const;
  /// Pages of own streams in this rank's arena, copies of remote ones left out.
  std::size_t pages_home() const;
  StoreOptions const& options() const { return options_; }
  /// Seconds in attention, and in waits and transfers, since construction.
  double attention_seconds() const { return attention_.attention_seconds(); }
  double encode_seconds() const { return home_.encode_seconds() + recoding_.seconds(); }
  double communication_seconds() const { return attention_.communication_seconds() + communication_seconds_; }

 private:
  std::size_t free_home_slots(std::int32_t size_class) const;
  void make_room(std::int32_t size_class, std::size_t pages);
  void scrub();
  void mark_rotten(Slot slot);

  comm::World& world_;
  StoreOptions options_;
  Counts counts_;
  std::unique_ptr<comm::Transport> transport_;
  Arena arena_;
  Owner owner_;
  Home home_;
  Migration migration_;
  Replicas replicas_;
  Recoding recoding_;
  Tiers tiers_;
  Queries queries_;
  Scrub scrub_;
  CachePolicy* policy_;
  Attention attention_;
  std::vector<std::unique_ptr<Stream>> streams_;

  Step step_ = 0;
  std::vector<Segment> segments_;
  std::vector<Damage> damages_, lost_;
  double communication_seconds_ = 0;   // in pushes
};

/// The model's fingerprint with the page's shape and its codecs (null: none) mixed in: pages of others are another model's.
Fingerprint page_fingerprint(Fingerprint const& model, kernels::PageLayout const& layout, PageCodecs const* codecs = nullptr);

}  // namespace pikv::shards
