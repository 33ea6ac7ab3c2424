#pragma once

#include <memory>
#include <vector>

#include "runtime/scheduling/schedulers.hpp"

namespace pikv::runtime {

struct SnapKvOptions {
  std::int32_t window = 64;   // queries that vote
  std::int32_t pool = 5;      // tokens averaged over where a page is one token, odd; longer pages are pools already
};

/// SnapKV (methods 4.10, arXiv 2404.14469): the last `window` queries of the prompt vote on what comes before them. u = their mean share of
/// attention, mean over the heads of the table, average-pooled (zeros outside, always divided by `pool`); 1 for pages that reach into the window or
/// are newer, which kvpress gives a score above all others. Every further `window` queries vote anew; before the first vote every page has 1.
/// Where queries come again (a rewind), what follows them is new until the next vote. One Reading must hold all pages that its rows read. State: 12
/// bytes a page.
class SnapKv : public Scheduler {
 public:
  SnapKv(LayerShape const& shape, SnapKvOptions const& options);

  void begin(std::int64_t prompt_tokens) override;
  void read(Reading const& reading) override;
  void utilities(std::int32_t table, std::span<Block const> pages, Budget const& budget, std::span<float> u) override;
  void forget(std::int32_t table, Block page) override;
  void save(StateWriter& out) const override;
  void restore(StateReader& in) override;

 protected:
  LayerShape const& shape() const { return shape_; }

 private:
  struct Table {
    std::int64_t from = 0, to = 0;     // positions of the queries that vote next
    std::int64_t next = 0;             // position of the query to come
    std::int32_t votes = 0;            // of them seen
    std::vector<double> sum;           // of their masses, by block
    std::int64_t counted_before = 0;   // keys from this position on took no part in the last vote
    std::vector<float> score;          // by block
  };
  void vote_from(Table& table, std::int64_t position) const;
  void count(Table& table) const;
  Block blocks_before(std::int64_t position) const { return shards::block_of(position, shape_.page_tokens); }

  LayerShape shape_;
  SnapKvOptions options_;
  std::int64_t prompt_ = 0;
  std::vector<Table> tables_;
};

std::unique_ptr<Scheduler> make_snapkv(SchedulerMaterial const& material, SnapKvOptions const& options = {});

}   // namespace pikv::runtime
