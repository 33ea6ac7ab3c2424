#include "runtime/scheduling/duo.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "runtime/scheduling/masses.hpp"

namespace pikv::runtime {
namespace {

struct Head {
  double outside = 0;   // attention outside sinks and recent tokens, summed over `queries`
  std::int32_t queries = 0;
};

class Duo final : public Scheduler {
 public:
  Duo(LayerShape const& shape, DuoOptions const& options) : shape_{shape}, options_{options}, heads_(static_cast<std::size_t>(shape.tables)) {}

  void begin(std::int64_t prompt_tokens) override { prompt_ = prompt_tokens; }

  void read(Reading const& reading) override {
    Masses const masses{shape_, reading};
    Head& head = heads_[static_cast<std::size_t>(reading.table)];
    for (std::int32_t row = 0; row < reading.rows; ++row) {
      std::int64_t const position = reading.first_position + row;
      if (position < prompt_ - options_.window || position >= prompt_) continue;
      for (std::size_t i = 0; i < masses.pages(); ++i)
        if (!is_sink(reading.pages[i]) && !is_recent(reading.pages[i], position + 1)) head.outside += masses.mean(i, row);
      ++head.queries;
      told_apart_ |= position + 1 == prompt_ && reading.table + 1 == shape_.tables;
    }
  }

  void utilities(std::int32_t, std::span<Block const> pages, Budget const& budget, std::span<float> u) override {
    auto const length = static_cast<float>(std::max<std::int64_t>(1, budget.length));
    for (std::size_t i = 0; i < pages.size(); ++i) {
      auto const end = static_cast<float>(shards::first_position(pages[i] + 1, shape_.page_tokens));
      u[i] = is_sink(pages[i]) ? 1 : std::min(1.f, end / length);
    }
  }

  std::vector<std::int64_t> budgets(std::span<std::vector<Block> const> pages, Budget const& budget) override {
    std::vector<std::int64_t> keep;
    for (auto const& held : pages)
      keep.push_back(shape_.page_tokens *
                     std::count_if(held.begin(), held.end(), [&](Block b) { return is_sink(b) || is_recent(b, budget.length); }));
    std::int64_t left = budget.tokens * std::ssize(pages) - std::accumulate(keep.begin(), keep.end(), std::int64_t{0});
    if (!told_apart_ || left < 0) return Scheduler::budgets(pages, budget);
    for (std::size_t const head : by_falling_score()) {
      std::int64_t const more = std::min(left, std::ssize(pages[head]) * shape_.page_tokens - keep[head]);
      keep[head] += more;
      left -= more;
    }
    return keep;
  }

  void save(StateWriter& out) const override {
    for (Head const& head : heads_) {
      out.value(head.outside);
      out.value(head.queries);
    }
    out.value(told_apart_);
  }
  void restore(StateReader& in) override {
    for (Head& head : heads_) {
      head.outside = in.value<double>();
      head.queries = in.value<std::int32_t>();
    }
    told_apart_ = in.value<bool>();
  }

 private:
  bool is_sink(Block block) const { return shards::first_position(block, shape_.page_tokens) < options_.sinks; }
  bool is_recent(Block block, std::int64_t length) const { return shards::first_position(block + 1, shape_.page_tokens) > length - options_.recent; }

  std::vector<std::size_t> by_falling_score() const {
    auto const score = [&](std::size_t head) { return heads_[head].queries > 0 ? heads_[head].outside / heads_[head].queries : 0; };
    std::vector<std::size_t> order(heads_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return score(a) > score(b); });
    return order;
  }

  LayerShape shape_;
  DuoOptions options_;
  std::int64_t prompt_ = 0;
  std::vector<Head> heads_;
  bool told_apart_ = false;
};

}   // namespace

std::unique_ptr<Scheduler> make_duo(SchedulerMaterial const& material, DuoOptions const& options) {
  return std::make_unique<Duo>(material.shape, options);
}

}   // namespace pikv::runtime
