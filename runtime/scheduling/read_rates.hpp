#pragma once

#include "runtime/scheduling/fading.hpp"
#include "runtime/scheduling/masses.hpp"
#include "runtime/scheduling/per_page.hpp"

namespace pikv::runtime {

/// How often each page is read: x <- .95 x + .05 [the page counts as read], once a step, from `start`. What counts as a read: masses.hpp.
/// State: 32 bytes a page.
class ReadRates {
 public:
  ReadRates(LayerShape const& shape, double start) : shape_{shape}, start_{start}, pages_{shape.tables} {}

  void read(Reading const& reading) {
    Masses const masses{shape_, reading};
    for (std::size_t i = 0; i < masses.pages(); ++i) {
      Page& page = state(reading.table, reading.pages[i]);
      if (page.counted == step_ || !masses.counts_as_read(i)) continue;
      page.rate.add(step_, 1 - Fading::keep);
      page.counted = step_;
    }
  }
  void tick() { ++step_; }
  /// In [0,1], up to the last read or tick.
  double of(std::int32_t table, Block page) { return std::min(1.0, state(table, page).rate.at(step_ - 1)); }
  void forget(std::int32_t table, Block page) { pages_.forget(table, page); }
  void save(StateWriter& out) const {
    out.value(step_);
    pages_.save(out);
  }
  void restore(StateReader& in) {
    step_ = in.value<std::int64_t>();
    pages_.restore(in);
  }

 private:
  struct Page {
    Fading rate;
    std::int64_t counted = -1;   // the last step whose read is in `rate`
  };
  Page& state(std::int32_t table, Block page) { return pages_.get(table, page, {.rate = Fading{step_ - 1, start_}}); }

  LayerShape shape_;
  double start_;
  PerPage<Page> pages_;
  std::int64_t step_ = 0;
};

}   // namespace pikv::runtime
