#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "comm/function_ref.hpp"
#include "comm/message.hpp"
#include "comm/world.hpp"
#include "comm/error.hpp"
#include "shards/arena.hpp"
#include "shards/counts.hpp"
#include "shards/queue.hpp"
#include "shards/homes.hpp"
#include "shards/owner.hpp"
#include "shards/placement.hpp"
#include "shards/store_options.hpp"
#include "shards/stream.hpp"

namespace pikv::shards {

/// Brings a page's header and payload (layout.bytes() long) from where it was kept.
using ReadPage = comm::FunctionRef<void(std::int32_t layer, PageHeader& header, std::span<std::byte> payload)>;

/// This rank as a home: it alone decides the life of its streams' pages. It opens pages, seals full ones, asks owners for slots,
/// pushes (payloads, flush, headers, flush), repeats until acknowledged, and frees its copy then.
///
/// Time of a page: sealed at the end of step s; its slot was asked for in the control exchange of s and granted in that of s+1;
/// pushed at the end of s+1; announced and indexed in s+2; acknowledged in s+3. A push whose acknowledgement is missing then is repeated.
class Home {
 public:
  Home(comm::World& world, comm::Transport& transport, Arena& arena, Owner& own_shard, StoreOptions const& options, Counts& counts);

  static constexpr std::size_t most_drops = 256, most_retires = 512;   // per control message; the rest waits for the next
  static constexpr std::size_t control_bytes = 64 + most_drops * sizeof(Drop) + most_retires * sizeof(Grant);

  /// Before the control exchange: `rows` more tokens will be appended to `stream` in this step, so ask for slots for what they fill.
  void expect(Stream const& stream, std::int32_t rows);
  void write_control(comm::Rank owner, comm::MessageWriter& out);
  void read_control(comm::Rank owner, comm::MessageReader& in);
  void after_control();

  /// Slots needed for `rows` more tokens of `stream`.
  std::size_t new_pages(Stream const& stream, std::int32_t rows) const;
  /// Opens the pages for them. The caller has made sure that the arena has room.
  void extend(Stream& stream, std::int32_t rows);
  /// The rows are in, in all layers: seals what is full now and finds it an owner.
  void advance(Stream& stream, std::int32_t rows, Step step);
  /// Pushes what has a slot, repeats what was not acknowledged.
  void push(Step step);
  /// The next block of a stream whose tokens are not computed but read: `read(layer, header, payload)` brings each page. All are verified,
  /// and sealed, or open if they are not full; the caller has made sure of the room. False if one is not what it should be: then none is kept.
  bool restore(Stream& stream, ReadPage read);
  /// Forgets all pages from `from` on, here and at their owners.
  void release(Stream& stream, Block from);

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
    int tries;
  };
  struct Channel {   // this home as a writer towards one owner
    Queue<Waiting> waiting;
    Queue<Grant> credits;
    Queue<Pushed> pending;
    std::vector<Drop> drops;
    std::vector<Grant> retires;
    std::uint64_t sent = 0, acknowledged = 0, granted = 0;
    std::size_t expected = 0;   // pages this step will fill and want to put there
    std::size_t asked = 0, asked_before = 0;   // in this control exchange, and in the last, which this one answers
    std::size_t refused = 0;
  };
  Channel& channel(comm::Rank owner) { return channels_[static_cast<std::size_t>(owner)]; }
  Bucket bucket_for(Stream const& stream, Block block, KvExpert* expert) const;
  void settle(Waiting page);
  void acknowledge(Channel& channel);
  void take_back_refused(Channel& channel);
  void write_header(Slot local, Grant const& grant, std::uint64_t number);
  void void_if_rotten(Pushed const& page);
  void send(comm::Rank to, Pushed const& page);
  void repeat(comm::Rank owner, Step step);
  void wait_for_all(char const* what);

  comm::World& world_;
  comm::Transport& transport_;
  Arena& arena_;
  Owner& own_shard_;
  StoreOptions const& options_;
  Counts& counts_;
  std::unique_ptr<HomePolicy> policy_;
  Placement placement_;
  std::vector<Channel> channels_;
  std::vector<Waiting> homeless_, looking_;   // no rank has a slot now; tried again every step
  struct Started {
    comm::Op op;
    comm::Rank peer;
  };
  struct Header {
    comm::Rank owner;
    Slot local;
    Slot at;
  };
  std::vector<Started> started_;
  std::vector<Header> headers_;
  std::vector<comm::Rank> touched_;
};

}  // namespace pikv::shards
