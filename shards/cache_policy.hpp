#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/coded.hpp"
#include "kernels/pool.hpp"
#include "shards/block.hpp"
#include "shards/stream.hpp"

namespace pikv::shards {

/// Rows of one stream in one page table.
struct TableRows {
  Stream const* stream = nullptr;
  std::int32_t table = 0;            // of all layers: layer * tables_per_layer + head range
  std::int64_t first_position = 0;   // of the first row; rows follow each other
  std::int32_t rows = 0;
};

/// What rows of queries found in the pages they read. Natural logarithms.
///   blocks ascend
///   page_lse  [blocks][rows][q_heads]  log-sum-exp of the scaled logits of the page's keys; -inf where a row sees none of them
///   lse       [rows][q_heads]          the same over all pages read
struct PageMasses {
  TableRows of;
  std::span<Block const> blocks;
  float const* page_lse = nullptr;
  float const* lse = nullptr;
};

/// What is read of a stream's pages, decided at its home; and what the decision is made from. The store asks and tells; it never decides
/// itself. Without a policy every page is read. All is called between begin_step and end_step, at the home alone, and must not allocate
/// without bound. Nothing is asked about pages that are evicted.
class CachePolicy {
 public:
  virtual ~CachePolicy() = default;

  /// Whether the row at `position` may read less than everything.
  virtual bool chooses(Stream const& stream, std::int64_t position) const = 0;
  /// One row that chooses. q [q_heads][head_dim] of this table. `blocks`: all there are, ascending, the open page last; what is left in it
  /// is read, ascending still and with the open page.
  virtual void choose(TableRows const& row, float const* q, std::vector<Block>& blocks) = 0;
  /// Rounds of reading in a layer, 1 or 2, the same on all ranks for the whole job.
  virtual int rounds() const { return 1; }
  /// The second round, for a row that chose: `found` is of what it has read; pages that must be read too are put into `more`, ascending.
  virtual void choose_more(PageMasses const& found, float const* q, std::span<Block const> unread, std::vector<Block>& more) { (void)found, (void)q, (void)unread, (void)more; }

  /// Whether observe() is wanted for these rows.
  virtual bool watches(TableRows const& rows) const = 0;
  /// Everything that the rows have read, after they have. q [rows][q_heads][head_dim].
  virtual void observe(PageMasses const& found, float const* q) = 0;

  /// A page is full; its keys and values lie in `slot` of `pool`, uncompressed.
  virtual void sealed(Stream const& stream, std::int32_t table, Block block, kernels::PoolView const& pool, std::int32_t slot) = 0;
  /// The page that was just sealed is stored coded, with these errors; not called of one that stays as it is.
  virtual void encoded(Stream const& stream, std::int32_t table, Block block, kernels::CodedErrors const& errors) { (void)stream, (void)table, (void)block, (void)errors; }
  /// Its pages from a block on are gone: released, or to be computed again.
  virtual void forgotten(Stream const& stream, Block from) = 0;
};

}  // namespace pikv::shards
