#include "runtime/scheduling/lru.hpp"

#include "runtime/scheduling/masses.hpp"
#include "runtime/scheduling/per_page.hpp"
#include "runtime/scheduling/recency.hpp"

namespace pikv::runtime {
namespace {

class Lru final : public Scheduler {
 public:
  explicit Lru(LayerShape const& shape) : shape_{shape}, last_{shape.tables} {}

  void read(Reading const& reading) override {
    Masses const masses{shape_, reading};
    for (std::size_t i = 0; i < masses.pages(); ++i) {
      auto& last = last_.get(reading.table, reading.pages[i], step_);
      if (masses.counts_as_read(i)) last = step_;
    }
  }

  void tick() override { ++step_; }

  void utilities(std::int32_t table, std::span<Block const> pages, Budget const&, std::span<float> u) override {
    std::int64_t oldest = 0;
    for (Block const page : pages) oldest = std::max(oldest, age(table, page));
    for (std::size_t i = 0; i < pages.size(); ++i) u[i] = recency(age(table, pages[i]), oldest);
  }

  void forget(std::int32_t table, Block page) override { last_.forget(table, page); }
  void save(StateWriter& out) const override {
    out.value(step_);
    last_.save(out);
  }
  void restore(StateReader& in) override {
    step_ = in.value<std::int64_t>();
    last_.restore(in);
  }

 private:
  std::int64_t age(std::int32_t table, Block page) { return step_ - last_.get(table, page, step_); }

  LayerShape shape_;
  PerPage<std::int64_t> last_;
  std::int64_t step_ = 0;
};

}   // namespace

std::unique_ptr<Scheduler> make_lru(SchedulerMaterial const& material) { return std::make_unique<Lru>(material.shape); }

}   // namespace pikv::runtime
