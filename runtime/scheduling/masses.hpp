#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/scheduling/scheduler.hpp"

namespace pikv::runtime {

/// A Reading that was checked: what does not fit the shape, and a mass that is NaN or negative, is std::logic_error.
class Masses {
 public:
  Masses(LayerShape const& shape, Reading const& reading);

  std::size_t pages() const { return reading_.pages.size(); }
  /// Of page number `page` of the reading, in one row: over the heads of the table.
  double mean(std::size_t page, std::int32_t row) const;
  double highest(std::size_t page, std::int32_t row) const;

  /// Whether the page counts as read (methods 4.1): some row gave it more than 1/(2n) of some head's attention, n being the pages listed, or
  /// appended to it. Under exact attention every page is touched every step, which would say nothing.
  bool counts_as_read(std::size_t page) const;

 private:
  std::span<float const> of(std::size_t page, std::int32_t row) const;

  LayerShape const& shape_;
  Reading const& reading_;
};

}   // namespace pikv::runtime
