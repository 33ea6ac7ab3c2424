#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "comm/function_ref.hpp"
#include "comm/message.hpp"
#include "comm/world.hpp"
#include "comm/error.hpp"
#include "shards/arena.hpp"
#include "shards/cache_policy.hpp"
#include "shards/counts.hpp"
#include "shards/expert_choice.hpp"
#include "shards/owner.hpp"
#include "shards/placement.hpp"
#include "shards/queue.hpp"
#include "shards/staging.hpp"
#include "shards/store_options.hpp"
#include "shards/stream.hpp"
#include "shards/zipf_buckets.hpp"

namespace pikv::shards {

/// Brings a page from where it was kept: its header first, which says how long the payload is to be. False: it was evicted, and stays so.
struct ReadPage {
  comm::FunctionRef<bool(std::int32_t layer, PageHeader& header)> header;
  comm::FunctionRef<void(std::int32_t layer, std::span<std::byte> payload)> payload;
};

/// This rank as a home: it alone decides the life of its streams' pages. It opens pages, seals full ones (encoding them, where their table has a
/// codec and they are not of block 0: from then on a page is coded wherever it goes), asks owners for slots, pushes (payloads, flush, headers, flush), repeats until acknowledged, and frees its copy then.
///
/// Time of a page: sealed at the end of step s; its slot was asked for in the control exchange of s and granted in that of s+1;
/// pushed at the end of s+1; announced and indexed in s+2; acknowledged in s+3. A push whose acknowledgement is missing then is repeated.
///
/// The same channels carry the pages that this rank gives away as an owner (migration.hpp): they come after its own new pages, and a step's
/// pushes of them, repeats included, stay within options.migration_bytes.
class Home {
 public:
  Home(comm::World& world, comm::Transport& transport, Arena& arena, Owner& own_shard, StoreOptions const& options, Counts& counts,
       CachePolicy* policy = nullptr);

  static constexpr std::size_t most_drops = 256, most_retires = 512;   // per control message and size class; the rest waits for the next
  static constexpr std::size_t control_bytes = 64 + most_drops * sizeof(Drop) + most_retires * sizeof(Grant);   // per size class

  /// Before the control exchange: `rows` more tokens will be appended to `stream` in this step, so ask for slots for what they fill.
  void expect(Stream const& stream, std::int32_t rows);
  void write_control(comm::Rank owner, comm::MessageWriter& out);
  void read_control(comm::Rank owner, comm::MessageReader& in);
  void after_control();

  /// Slots needed for `rows` more tokens of `stream`.
  std::size_t new_pages(Stream const& stream, std::int32_t rows) const;
  /// Opens the pages for them. The caller has made sure that the arena has room.
  void extend(Stream& stream, std::int32_t rows);
  /// The rows are in, in all layers.
  void advance(Stream& stream, std::int32_t rows);
  /// Pages of the size class that seal() would want for this stream now.
  std::size_t pages_to_seal(Stream const& stream, std::int32_t size_class) const;
  /// Seals what is full, but for options.exact_blocks, as far as there are slots for it, and finds it an owner.
  void seal_full(Stream& stream, Step step);
  /// Pushes what has a slot, repeats what was not acknowledged.
  void push(Step step);
  /// The next block of a stream whose tokens are not computed but read: `read(layer, header, payload)` brings each page. All are verified,
  /// and sealed, or open if they are not full; the caller has made sure of the room. False if one is not what it should be: then none is kept.
  bool restore(Stream& stream, ReadPage const& read);
  /// One more of this home's pages is ordered to be recoded by its owner.
  void order_recoding(comm::Rank owner) { ++recode_orders_[static_cast<std::size_t>(owner)]; }
  /// The page of a table, sealed or pending, is stored as the one in slot `by` from now on, which is of another size class; it finds an owner anew.
  void replace(Stream& stream, std::int32_t table, Block block, Slot by);
  /// Drops a sealed page; false while it is on its way to another owner, or was never sealed.
  bool evict(Stream& stream, std::int32_t table, Block block);
  /// Forgets all pages from `from` on, here and at their owners.
  void release(Stream& stream, Block from);

  /// From now on new pages go where it says; those that wait for a slot look for one again.
  void place(PlacementOptions const& placement);
  Placement const& placement() const { return placement_; }
  Bucket bucket_for(KvExpert expert, StreamId const& stream, Block block) const;
  /// Where the present placement wants a page.
  comm::Rank target(KvExpert expert, StreamId const& stream, Block block, int refusals = 0) const;   // after so many, the next choices in turn
  ExpertChoice& experts() { return experts_; }
  ExpertChoice const& experts() const { return experts_; }
  /// Seconds spent encoding pages, since construction.
  double encode_seconds() const { return encode_seconds_; }
  bool stores(comm::Rank rank) const { return placement_.options().weights[static_cast<std::size_t>(rank)] > 0; }

  /// A page that this rank stores for another, or its own shard's (`stream` is set then), on its way to another owner.
  struct Leaving {
    comm::Rank home = -1;
    Stream* stream = nullptr;
    std::int32_t layer = 0;
    Block block = 0;
    Slot slot{};
    std::uint64_t generation = 0;   // of that slot: if another by now, the page has gone
  };
  /// What became of a Leaving that was not an own page.
  struct Left {
    comm::Rank home, to;
    Slot slot;
    std::uint64_t generation;
    bool pushed;    // the slot is held
    bool arrived;
    Grant at;       // if it has
  };
  void leave(comm::Rank to, Leaving page) { channel(to, arena_.size_class(page.slot)).leaving.push(page); }
  /// Since the last call of clear(); valid until the next step.
  std::vector<Left>& left() { return left_; }
  /// Tells `owner` to retire a page of this home by name.
  void retire_at(comm::Rank owner, Grant const& page) { channel(owner, arena_.size_class({page.slot})).retires.push_back(page); }

 private:
  struct Waiting {   // a sealed page that wants a slot
    Stream* stream;
    std::int32_t layer;
    Block block;
    Bucket bucket;
    int choice;
  };
  struct Pushed {   // a pending page; stream is null when it was released meanwhile
    Stream* stream;
    std::int32_t layer;
    Block block;
    Slot local;
    Grant grant;
    std::uint64_t number;
    Step pushed_in;
    int tries = 0;
    bool leaves = false;              // a move: counts against its budget
    bool empty = false;               // it rotted before it had arrived: nothing went in its place
    comm::Rank home = -1;             // of a page stored for another; -1: own
    std::uint64_t generation = 0;     // of `local`, then
  };
  struct Channel {   // this home as a writer towards one owner, into slots of one size class
    comm::Rank owner = -1;
    std::int32_t size_class = 0;
    Queue<Waiting> waiting;
    Queue<Leaving> leaving;
    Queue<Grant> credits;
    Queue<Pushed> pending;
    std::vector<Drop> drops;
    std::vector<Grant> retires;
    std::uint64_t sent = 0, acknowledged = 0, granted = 0;
    std::size_t expected = 0;   // pages this step will fill and want to put there
    std::size_t asked = 0, asked_before = 0;   // in this control exchange, and in the last, which this one answers
    std::size_t refused = 0;
  };
  Channel& channel(comm::Rank owner, std::int32_t size_class) {
    return channels_[static_cast<std::size_t>(owner) * static_cast<std::size_t>(arena_.classes()) + static_cast<std::size_t>(size_class)];
  }
  std::span<Channel> channels_to(comm::Rank owner) { return {&channel(owner, 0), static_cast<std::size_t>(arena_.classes())}; }
  comm::Rank choose(Waiting const& page) const;
  void seal_page(Stream& stream, std::int32_t layer, Block block, Step step);
  Block blocks_to_seal(Stream const& stream) const;
  bool room_to_seal(Block block) const;
  void encode(DirectoryEntry& entry, std::int32_t layer, PageKey const& key);
  bool read_block(Stream& stream, ReadPage const& read, std::uint32_t& tokens);
  kernels::PoolView decoded(std::int32_t layer, Slot slot);
  void settle(Waiting page);
  void write_control(Channel& to, comm::MessageWriter& out);
  void read_control(Channel& from, comm::MessageReader& in);
  void acknowledge(Channel& from);
  void take_back_refused(Channel& from);
  PageHeader header_for(Pushed const& page);
  void seal_nothing(PageHeader& header, Slot local);
  void empty_if_rotten(Pushed& page, Step step);
  void stay(Leaving const& page, comm::Rank to);
  bool leave_now(Channel& to, Leaving const& page, Step step);
  void push_leaving(Channel& to, Step step);
  void has_left(Channel& from, Pushed const& page);
  std::size_t move_cost(Channel const& to) const { return arena_.payload_bytes(to.size_class) + header_bytes; }
  bool afford(Channel const& to);
  void send(comm::Rank to, Pushed const& page);
  void repeat(Channel& to, Step step);
  void wait_for_all(char const* what);

  comm::World& world_;
  comm::Transport& transport_;
  Arena& arena_;
  Owner& own_shard_;
  StoreOptions const& options_;
  Counts& counts_;
  ExpertChoice experts_;
  CachePolicy* cache_policy_;
  Placement placement_;
  std::optional<ZipfBuckets> skewed_;
  std::vector<Channel> channels_;
  std::vector<std::uint64_t> recode_orders_;   // by owner, since construction
  std::vector<Waiting> homeless_, looking_;   // no rank has a slot now; tried again every step
  struct Started {
    comm::Op op;
    comm::Rank peer;
  };
  struct Header {
    comm::Rank owner;
    Slot at;
    PageHeader header;
  };
  std::vector<Started> started_;
  Staging outgoing_{arena_.device()};   // payloads of puts, copied out of the device
  std::vector<Header> headers_;
  std::vector<comm::Rank> touched_;
  std::vector<Left> left_;
  double encode_seconds_ = 0;
  std::size_t budget_ = 0;   // bytes of moves, in this step
  std::vector<std::byte> decoded_;   // one page
};

}  // namespace pikv::shards
