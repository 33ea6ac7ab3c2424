#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/page_summaries.hpp"
#include "runtime/policy_state.hpp"
#include "shards/block.hpp"

namespace pikv::runtime {

using shards::Block;

/// One layer of one stream. Its pages lie in `tables` page tables: one for all KV heads, or one per KV head where a policy decides by head
/// (then one head's page can be evicted alone, and its bytes are free).
struct LayerShape {
  std::int32_t layer = 0, layers = 1;
  std::int32_t tables = 1;
  std::int32_t kv_heads = 1;      // of a table
  std::int32_t q_heads = 1;       // of a table
  std::int32_t head_dim = 0, page_tokens = 1;
};

/// What queries gave the pages they read in one table: mass[page][row][q_heads] = exp(lse of the page - lse of all that was read), the share of
/// the softmax that fell on the page. A page whose tokens come after the row's has mass 0.
struct Reading {
  std::int32_t table = 0;
  std::int64_t first_position = 0;   // of row 0; rows follow each other
  std::int32_t rows = 1;
  std::span<Block const> pages;      // ascending
  std::span<float const> mass;
};

/// How much of a layer may stay.
struct Budget {
  std::int64_t length = 0;   // tokens of the stream so far, evicted ones included
  std::int64_t tokens = 0;   // to keep a table, mean over the tables, pinned ones included
};

/// Decides what of one layer of one stream is worth keeping (methods 4). The engine, `pikv evaluate` and `pikv replay` drive the same objects:
/// events as they happen, then utilities when something must go. Deterministic: same events, same utilities. All state is of pages that exist;
/// forget() drops it.
class Scheduler {
 public:
  virtual ~Scheduler() = default;

  /// Tokens of the prompt: queries at positions before it are the prompt's own. Called once, first.
  virtual void begin(std::int64_t prompt_tokens) { (void)prompt_tokens; }
  /// The queries of a row, [q_heads][head_dim], after rotary.
  virtual void query(std::int32_t table, std::int64_t position, std::span<float const> q) { (void)table, (void)position, (void)q; }
  virtual void read(Reading const& reading) { (void)reading; }
  /// A step has ended (`pikv replay`: a request).
  virtual void tick() {}

  /// Whether this layer wants read(): one that follows another layer's choice does not.
  virtual bool watches() const { return true; }

  /// Tokens a table of this layer may keep when the layers may keep budget.tokens each, mean over them; `pinned` tokens of a table stay whatever is
  /// said. Both include the pinned ones.
  virtual std::int64_t layer_tokens(Budget const& budget, std::int64_t pinned) const { return (void)pinned, budget.tokens; }

  /// u[i] in [0,1] of pages[i] (ascending, none pinned): the lowest goes first; equal ones, the lower block first.
  virtual void utilities(std::int32_t table, std::span<Block const> pages, Budget const& budget, std::span<float> u) = 0;
  /// Tokens each table may keep of its unpinned pages, which are listed by table (each holds page_tokens). Here budget.tokens leaves the pinned ones
  /// out; the mean of what is returned is that number exactly, or less.
  virtual std::vector<std::int64_t> budgets(std::span<std::vector<Block> const> pages, Budget const& budget);
  /// Higher is read first, for this query: of policies that select what is read (SchedulerKind::selection); others are not asked.
  virtual void select(std::int32_t table, std::span<Block const> pages, std::span<float const> q, std::span<float> score);

  /// The page is gone (evicted): so is its state.
  virtual void forget(std::int32_t table, Block page) { (void)table, (void)page; }

  /// What it has learned, for a checkpoint. restore() takes it into one that was made and begun alike and has heard of nothing yet: from then on
  /// the two decide the same.
  virtual void save(StateWriter& out) const { (void)out; }
  virtual void restore(StateReader& in) { (void)in; }
};

}  // namespace pikv::runtime
