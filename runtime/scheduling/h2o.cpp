#include "runtime/scheduling/h2o.hpp"

#include <algorithm>

#include "runtime/scheduling/masses.hpp"
#include "runtime/scheduling/per_page.hpp"

namespace pikv::runtime {
namespace {

struct Page {
  double sum = 0;
  std::int64_t queries = 0;   // that could see it
};

class H2o final : public Scheduler {
 public:
  H2o(LayerShape const& shape, H2oOptions const& options) : shape_{shape}, options_{options}, pages_{shape.tables} {}

  void read(Reading const& reading) override {
    Masses const masses{shape_, reading};
    for (std::size_t i = 0; i < masses.pages(); ++i) {
      Page& page = pages_.get(reading.table, reading.pages[i], {});
      for (std::int32_t row = 0; row < reading.rows; ++row) page.sum += masses.mean(i, row);
      std::int64_t const hidden = shards::first_position(reading.pages[i], shape_.page_tokens) - reading.first_position;
      page.queries += reading.rows - std::clamp<std::int64_t>(hidden, 0, reading.rows);
    }
  }

  void utilities(std::int32_t table, std::span<Block const> pages, Budget const& budget, std::span<float> u) override {
    double most = 0;
    for (Block const page : pages) most = std::max(most, gathered(table, page));
    auto const recent = static_cast<std::int64_t>(options_.recent * static_cast<double>(budget.tokens));
    for (std::size_t i = 0; i < pages.size(); ++i) {
      bool const is_recent = shards::first_position(pages[i] + 1, shape_.page_tokens) > budget.length - recent;
      u[i] = is_recent ? 1 : most > 0 ? static_cast<float>(gathered(table, pages[i]) / most) : 0;
    }
  }

  void forget(std::int32_t table, Block page) override { pages_.forget(table, page); }
  void save(StateWriter& out) const override { pages_.save(out); }
  void restore(StateReader& in) override { pages_.restore(in); }

 private:
  double gathered(std::int32_t table, Block block) {
    Page const& page = pages_.get(table, block, {});
    return options_.normalise && page.queries > 0 ? page.sum / static_cast<double>(page.queries) : page.sum;
  }

  LayerShape shape_;
  H2oOptions options_;
  PerPage<Page> pages_;
};

}   // namespace

std::unique_ptr<Scheduler> make_h2o(SchedulerMaterial const& material, H2oOptions const& options) {
  return std::make_unique<H2o>(material.shape, options);
}

}   // namespace pikv::runtime
