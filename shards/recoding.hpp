#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "comm/message.hpp"
#include "shards/arena.hpp"
#include "shards/cache_policy.hpp"
#include "shards/counts.hpp"
#include "shards/home.hpp"
#include "shards/owner.hpp"
#include "shards/page_codecs.hpp"
#include "shards/recoder.hpp"
#include "shards/replicas.hpp"
#include "shards/segment.hpp"
#include "shards/stream.hpp"

namespace pikv::shards {

/// A home's order to the owner of a warm page: make a cold one of it.
struct RecodeOrder {
  std::int32_t slot = -1;
  std::int32_t reserved = 0;
  std::uint64_t generation = 0;
};

/// The one answer to each order; the errors that the new page states go with it.
struct RecodeAnswer {
  std::int32_t slot = -1, new_slot = -1;   // new_slot -1: the page stays as it is, or has gone
  std::uint64_t generation = 0, new_generation = 0;
};

/// Pages cool: where all tokens of a page lie options.cold_after or more behind its stream's end, it is recoded, once. Its home alone
/// decides, from the stream's length: whatever a step's rows read of such a page is cold, on any number of ranks. So a page elsewhere is
/// ordered one step ahead: its owner verifies it, makes a cold one of it in a slot of another size class, and answers; no payload travels.
/// The home reads the warm one until it hears, then the cold one, and retires the warm one by name. A page that is still at home is
/// recoded there at the beginning of the step, also while it is pushed: it is pushed again then.
///
/// Time of an order: sent in the control exchange of s and carried out before anything is read in s; answered, and read, in s+1; the warm
/// slot retired in s+2.
///
/// Late are pages on their way to another owner, those that find no slot, and those beyond most_ordered: they stay warm for some steps more.
class Recoding {
 public:
  Recoding(int ranks, Arena& arena, Owner& owner, Home& home, Replicas& replicas, StoreOptions const& options, Counts& counts,
           CachePolicy* policy);

  static constexpr std::size_t most_ordered = 512;    // in a control message
  static std::size_t control_bytes(StoreOptions const& options);

  /// Before the control exchange: orders what will be cold once the segments' rows are in.
  void plan(std::span<std::unique_ptr<Stream> const> streams, std::span<Segment const> segments);
  void write_control(comm::Rank to, comm::MessageWriter& out);
  void read_control(comm::Rank from, comm::MessageReader& in);
  /// After Owner's and Home's. Streams and segments are those of plan().
  void after_control(Step step, std::span<std::unique_ptr<Stream> const> streams, std::span<Segment const> segments);

  /// The pages of `stream` from `from` on are about to be released.
  void forget(Stream const& stream, Block from);
  /// A page has been evicted.
  void forget(Stream& stream, std::int32_t table, Block block);
  double seconds() const { return recoder_.seconds(); }

 private:
  struct Ordered {
    Stream* stream;   // null: released or evicted meanwhile
    std::int32_t table;
    Block block;
    RecodeOrder order;
  };
  struct Peer {
    std::vector<Ordered> ordered;   // to it as an owner, without answer yet; the newest are unsent
    std::size_t unsent = 0;
    std::vector<RecodeAnswer> answers;   // to it as a home
    std::vector<float> errors;           // [answers][K and V][kv_heads]
    std::uint64_t carried_out = 0;       // of its orders, ever
    std::span<RecodeOrder const> orders_in;
    std::span<RecodeAnswer const> answers_in;
    std::span<float const> errors_in;
  };
  Peer& peer(comm::Rank rank) { return peers_[static_cast<std::size_t>(rank)]; }
  bool travels() const { return recodes(options_) && !options_.local; }
  bool cold_at(std::int64_t length, Block block) const {
    return first_position(block + 1, options_.layout.page_tokens) + options_.cold_after <= length;
  }
  bool is_cold(Slot slot) const { return options_.codecs->level_of(arena_.size_class(slot)) == Level::cold; }
  std::size_t errors_of_page() const { return 2 * static_cast<std::size_t>(options_.layout.kv_heads); }
  Slot take(std::int32_t table);
  void order(Stream& stream, std::int64_t length);
  void order(Stream& stream, std::int32_t table, Block block);
  void take_answer(comm::Rank from, RecodeAnswer const& answer, std::span<float const> errors);
  void carry_out(comm::Rank from, RecodeOrder const& order, Step step);
  Slot cold_of(comm::Rank from, RecodeOrder const& order, Step step);
  void recode_here(Stream& stream);
  bool recode_here(Stream& stream, std::int32_t table, Block block);
  void tell(Stream& stream, std::int32_t table, Block block, kernels::CodedErrors const& errors);

  Arena& arena_;
  Owner& owner_;
  Home& home_;
  Replicas& replicas_;
  StoreOptions const& options_;
  Counts& counts_;
  CachePolicy* policy_;
  Recoder recoder_;
  std::vector<Peer> peers_;
};

}  // namespace pikv::shards
