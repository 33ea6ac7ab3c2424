#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "comm/world.hpp"
#include "kernels/buffer.hpp"
#include "shards/arena.hpp"
#include "shards/cache_policy.hpp"
#include "shards/counts.hpp"
#include "shards/page_reader.hpp"
#include "shards/plan.hpp"
#include "shards/queries.hpp"
#include "shards/read_sample.hpp"
#include "shards/replicas.hpp"
#include "shards/segment.hpp"
#include "shards/store_options.hpp"
#include "shards/tiers.hpp"

namespace pikv::shards {

/// Attention of a step's rows over the pages of their streams, wherever these lie: chooses what is read (a policy may), attends what is
/// here, fetches or asks for the rest, and joins the parts. Two exchanges a layer; four where a policy reads in two rounds.
///
/// Rows are those of page tables: a batch row counts once for each table of the layer. The rows of a segment lie together, table after table,
/// so that all rows of one segment and table are neighbours.
class Attention {
 public:
  Attention(comm::World& world, Arena& arena, Replicas& replicas, Tiers& tiers, Queries& queries, StoreOptions const& options, Counts& counts, CachePolicy* policy);

  void begin_step(Step step, std::span<Segment const> segments);
  /// As Store's: q, out [rows][q_heads of the layer][head_dim]; k, v [rows][kv_heads of the layer][head_dim], in the device's memory.
  void append(std::int32_t layer, float const* k, float const* v);
  void start(std::int32_t layer, float const* q);
  void finish(std::int32_t layer, float* out, std::vector<Damage>& damages);

  /// Since finish: what the stream's rows have read in a table; empty if they had none there.
  std::span<Block const> blocks_read(Stream const& stream, std::int32_t table) const;

  /// Seconds in attention, and in waits and transfers, since construction.
  double attention_seconds() const { return attention_seconds_ + queries_.attention_seconds(); }
  double communication_seconds() const { return communication_seconds_; }

 private:
  struct Read {   // rows that read the same pages
    Stream* stream = nullptr;
    TableRows of;
    std::int32_t first_row = 0;                  // of table rows
    bool chose = false, watched = false;
    std::size_t first_block = 0, blocks = 0;     // in blocks_
    std::size_t first_lse = 0;                   // in page_lse_, if watched
  };
  std::int32_t width() const { return options_.q_heads * options_.layout.head_dim; }
  bool shuffles() const;
  float const* by_table(float const* q);
  float const* q_on_host();
  void find_reads(std::int32_t layer);
  void add_read(Segment const& segment, std::int32_t table, std::int32_t first_row);
  void add_blocks(Read& read);
  void reserve_lse(Read& read);
  void gather(std::span<Read const> reads);
  void find_rotten(std::span<Read const> reads, std::vector<Damage>& damages);
  void gather_one(Read const& read);
  void choose_moves(Read const& read);
  enum class Which { readable, copies };
  void attend_home(std::span<Read const> reads, kernels::PartialView partial, std::vector<Damage>& damages);
  void attend_here(std::span<Read const> reads, Which which, kernels::PartialView partial);
  void attend_there(std::int32_t layer, kernels::PartialView partial, std::vector<Damage>& damages);
  void read_more(std::int32_t layer, kernels::PartialView partial, std::vector<Damage>& damages);
  void total_lse(kernels::PartialView partial);
  PageMasses masses(Read const& read) const;
  void observe();
  void record_hits(std::span<Damage const> damages);
  void write_out(kernels::PartialView partial, float* out);

  comm::World& world_;
  Arena& arena_;
  Replicas& replicas_;
  Tiers& tiers_;
  Queries& queries_;
  StoreOptions const& options_;
  Counts& counts_;
  CachePolicy* policy_;
  kernels::Device& device_;

  Step step_ = 0;
  std::vector<Segment> segments_;
  std::int32_t rows_ = 0;                            // of tables
  float const* q_ = nullptr;                         // [rows_][q_heads][head_dim]
  float const* host_q_ = nullptr;                    // the same for the processor, once it was asked for
  kernels::Buffer<float> shuffled_q_{device_}, shuffled_out_{device_};
  std::vector<float const*> ordered_;                // their rows in the other's order
  kernels::OnHost<float> q_copy_{device_}, max_on_host_{device_}, denom_on_host_{device_};
  std::vector<Read> reads_, more_;
  std::vector<Block> blocks_, chosen_, unread_;
  std::vector<std::int32_t> here_;                   // of the plan's pages: index among their read's blocks
  struct Remote {
    Block block;
    std::int32_t at;                                 // index among the read's blocks
  };
  std::vector<std::vector<Remote>> remote_;          // by owner: blocks of one read to be read there
  std::vector<std::size_t> of_class_;                // of such pages, by size class
  std::vector<AskedPage> asked_;
  std::vector<float> page_lse_, plan_lse_, lse_;
  std::vector<std::pair<Block, std::size_t>> joined_;   // blocks of both rounds of a read, and where their log-sum-exps are
  struct PageRead {
    Stream* stream;
    std::int32_t table;
    Block block;
  };
  ReadSample sample_;
  std::vector<PageRead> sampled_;   // reads of this layer that are written down once they are known to have found their page
  PageReader plan_;
  PartialBuffer partial_{device_}, second_{device_}, staged_{device_};
  std::vector<std::int32_t> row_slot_, row_at_;
  double attention_seconds_ = 0, communication_seconds_ = 0;
};

}  // namespace pikv::shards
