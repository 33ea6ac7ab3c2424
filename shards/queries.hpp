#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "comm/message.hpp"
#include "comm/world.hpp"
#include "kernels/buffer.hpp"
#include "kernels/partial.hpp"
#include "comm/error.hpp"
#include "shards/cache_policy.hpp"
#include "shards/owner.hpp"
#include "shards/page_reader.hpp"
#include "shards/plan.hpp"
#include "shards/replicas.hpp"

namespace pikv::shards {

/// A page to be asked for, and where its log-sum-exp is wanted: an offset into finish()'s `page_lse`; -1: nowhere, as for all of its query.
struct AskedPage {
  Block block = 0;
  std::int64_t lse = -1;
};

/// The two exchanges of a layer's attention: queries go to the owners of pages, partials come back.
///   query     {stream, layer, rows, pages, first position} 40 B; (slot, generation) 8 B a page; q fp32 [rows][q_heads][d]
///   answer    {rows, stale} 8 B; which of the pages asked for are not here, 4 B each (padded to 8); max, denom [rows][q_heads],
///             sum [rows][q_heads][d]; if asked for, the log-sum-exp of each page that is here [pages][rows][q_heads]. Stale pages are left
///             out of the partial.
/// A message holds all queries to one owner; answers come in their order.
class Queries {
 public:
  Queries(comm::World& world, Arena& arena, Owner& owner, StoreOptions const& options, Counts& counts);

  /// Asks `owner` for the partial of some rows over pages that it holds. q: all rows, in host memory, of which these begin at first_row.
  void ask(comm::Rank owner, Stream& stream, TableRows const& of, std::int32_t first_row, std::span<AskedPage const> pages, float const* q);
  void start() { queries_->start(); }
  /// Waits for everyone's queries, attends own pages for them, and starts the answers.
  void answer(Step step, std::int32_t layer);
  /// Waits for the answers and merges them into `partial` (all rows of the batch, in the device's memory), by rank. Stale pages become damages, and so does an answer
  /// that is not finite, which is not merged.
  void finish(Step step, std::int32_t layer, kernels::PartialView partial, std::span<float> page_lse,
              std::vector<Damage>& damages);

  comm::Exchange const& queries() const { return *queries_; }
  comm::Exchange const& partials() const { return *partials_; }
  /// Seconds spent attending for others, since construction.
  double attention_seconds() const { return attention_seconds_; }

  static std::size_t query_bytes(StoreOptions const& options);
  static std::size_t partial_bytes(StoreOptions const& options);

 private:
  struct Asked {   // what answers are expected, in order
    Stream* stream;
    std::int32_t table, first_row, rows;
    std::size_t first_page, pages;
  };
  struct Query {   // what is to be answered
    comm::Rank from;
    std::int32_t rows;
    std::size_t first_stale, stale;
    std::size_t first_lse, lse;   // floats of plan_lse_ that are wanted; 0: none
  };
  bool read_queries(comm::Rank from);
  void write_answers();
  void read_answer(comm::Rank from, Asked const& asked, comm::MessageReader& in, std::span<float> page_lse, std::vector<Damage>& damages);
  void bring_in();

  comm::World& world_;
  Arena& arena_;
  Owner& owner_;
  StoreOptions const& options_;
  Counts& counts_;
  std::unique_ptr<comm::Exchange> queries_, partials_;
  std::vector<std::vector<Asked>> asked_;   // by owner
  std::vector<AskedPage> asked_pages_;
  std::vector<Query> to_answer_;
  std::vector<std::int32_t> stale_;
  PageReader plan_;
  std::vector<float> q_, plan_lse_;
  kernels::OnDevice<float> q_on_device_{arena_.device()};
  PartialBuffer answers_{arena_.device()};
  kernels::OnHost<float> answers_on_host_{arena_.device()};
  struct Answer {   // to be merged
    std::int32_t first_row, rows;
    kernels::PartialView part;
  };
  std::vector<Answer> came_;   // in the order of ranks
  kernels::Filled<float> came_on_device_{arena_.device()};
  std::size_t lse_floats_ = 0;
  double attention_seconds_ = 0;
};

/// Ends a wait on an exchange that did not arrive: RunError naming rank, host, step, layer (-1: none) and what was waited for.
void finish_or_throw(comm::World& world, comm::Exchange& exchange, double deadline_s, Step step, std::int32_t layer);

}  // namespace pikv::shards
