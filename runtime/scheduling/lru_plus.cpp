#include "runtime/scheduling/lru_plus.hpp"

#include <cmath>

#include "runtime/scheduling/fading.hpp"
#include "runtime/scheduling/masses.hpp"
#include "runtime/scheduling/per_page.hpp"
#include "runtime/scheduling/recency.hpp"

namespace pikv::runtime {
namespace {

constexpr std::int64_t halving = 512;

struct Page {
  std::int64_t last;
  Fading mass;
  double reads = 0;
  std::int64_t counted = -1;   // the step of the last read in `reads`

  double reads_at(std::int64_t step) const {
    return counted < 0 ? 0 : std::ldexp(reads, -static_cast<int>(std::min<std::int64_t>(step / halving - counted / halving, 1000)));
  }
};

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

class LruPlus final : public Scheduler {
 public:
  LruPlus(LayerShape const& shape, LruPlusOptions const& options) : shape_{shape}, weights_{options}, pages_{shape.tables} {
    double const sum = options.recency + options.frequency + options.mass;
    weights_.recency /= sum;
    weights_.frequency /= sum;
    weights_.mass /= sum;
  }

  void read(Reading const& reading) override {
    Masses const masses{shape_, reading};
    for (std::size_t i = 0; i < masses.pages(); ++i) {
      Page& page = state(reading.table, reading.pages[i]);
      double sum = 0;
      for (std::int32_t row = 0; row < reading.rows; ++row) sum += masses.highest(i, row);
      page.mass.add(step_, sum / reading.rows);
      if (!masses.counts_as_read(i)) continue;
      page.last = step_;
      if (page.counted == step_) continue;
      page.reads = page.reads_at(step_) + 1;
      page.counted = step_;
    }
  }

  void tick() override { ++step_; }

  void utilities(std::int32_t table, std::span<Block const> pages, Budget const&, std::span<float> u) override {
    std::int64_t oldest = 0;
    double most_reads = 0, most_mass = 0;
    for (Block const block : pages) {
      Page const& page = state(table, block);
      oldest = std::max(oldest, step_ - page.last);
      most_reads = std::max(most_reads, page.reads_at(step_));
      most_mass = std::max(most_mass, page.mass.at(step_));
    }
    for (std::size_t i = 0; i < pages.size(); ++i) {
      Page const& page = state(table, pages[i]);
      double const frequency = share(std::log1p(page.reads_at(step_)), std::log1p(most_reads));
      double const mass = share(page.mass.at(step_), most_mass);
      double const sum = weights_.recency * recency(step_ - page.last, oldest) + weights_.frequency * frequency + weights_.mass * mass;
      u[i] = static_cast<float>(std::min(1.0, sum));
    }
  }

  void forget(std::int32_t table, Block page) override { pages_.forget(table, page); }
  void save(StateWriter& out) const override {
    out.value(step_);
    pages_.save(out);
  }
  void restore(StateReader& in) override {
    step_ = in.value<std::int64_t>();
    pages_.restore(in);
  }

 private:
  Page& state(std::int32_t table, Block block) { return pages_.get(table, block, {.last = step_, .mass = Fading{step_}}); }

  LayerShape shape_;
  LruPlusOptions weights_;
  PerPage<Page> pages_;
  std::int64_t step_ = 0;
};

}   // namespace

std::unique_ptr<Scheduler> make_lru_plus(SchedulerMaterial const& material, LruPlusOptions const& options) {
  return std::make_unique<LruPlus>(material.shape, options);
}

}   // namespace pikv::runtime
