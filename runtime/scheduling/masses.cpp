#include "runtime/scheduling/masses.hpp"

#include <algorithm>
#include <stdexcept>

namespace pikv::runtime {

Masses::Masses(LayerShape const& shape, Reading const& reading) : shape_{shape}, reading_{reading} {
  if (reading.table < 0 || reading.table >= shape.tables) throw std::logic_error("a reading of a page table that the layer does not have");
  if (reading.rows < 1 || reading.mass.size() != reading.pages.size() * static_cast<std::size_t>(reading.rows * shape.q_heads))
    throw std::logic_error("a reading must hold one mass per page, row and query head");
  if (!std::all_of(reading.mass.begin(), reading.mass.end(), [](float mass) { return mass >= 0; }))
    throw std::logic_error("a page's share of attention is negative or not a number");
}

std::span<float const> Masses::of(std::size_t page, std::int32_t row) const {
  auto const heads = static_cast<std::size_t>(shape_.q_heads);
  return reading_.mass.subspan((page * static_cast<std::size_t>(reading_.rows) + static_cast<std::size_t>(row)) * heads, heads);
}

double Masses::mean(std::size_t page, std::int32_t row) const {
  double sum = 0;
  for (float const mass : of(page, row)) sum += mass;
  return sum / shape_.q_heads;
}

double Masses::highest(std::size_t page, std::int32_t row) const {
  double highest = 0;
  for (float const mass : of(page, row)) highest = std::max<double>(highest, mass);
  return highest;
}

bool Masses::counts_as_read(std::size_t page) const {
  Block const block = reading_.pages[page];
  Block const first = shards::block_of(reading_.first_position, shape_.page_tokens);
  Block const last = shards::block_of(reading_.first_position + reading_.rows - 1, shape_.page_tokens);
  if (first <= block && block <= last) return true;
  double const least = 1 / (2 * static_cast<double>(pages()));
  for (std::int32_t row = 0; row < reading_.rows; ++row)
    if (highest(page, row) > least) return true;
  return false;
}

}   // namespace pikv::runtime
