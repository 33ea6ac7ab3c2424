#include "runtime/scheduling/snapkv.hpp"

#include <algorithm>
#include <stdexcept>

#include "runtime/scheduling/masses.hpp"

namespace pikv::runtime {

SnapKv::SnapKv(LayerShape const& shape, SnapKvOptions const& options)
    : shape_{shape}, options_{options}, tables_(static_cast<std::size_t>(shape.tables)) {
  if (options.window < 1 || options.pool < 1 || options.pool % 2 == 0) throw std::logic_error("SnapKV needs a window and an odd pool");
  begin(0);
}

void SnapKv::begin(std::int64_t prompt_tokens) {
  prompt_ = prompt_tokens;
  for (Table& table : tables_) vote_from(table, 0);
}

/// The next voters: the end of the prompt, or those from `position` on.
void SnapKv::vote_from(Table& table, std::int64_t position) const {
  table.from = position < prompt_ ? std::max<std::int64_t>(0, prompt_ - options_.window) : position;
  table.to = position < prompt_ ? prompt_ : position + options_.window;
  table.votes = 0;
  std::fill(table.sum.begin(), table.sum.end(), 0);
}

void SnapKv::read(Reading const& reading) {
  Masses const masses{shape_, reading};
  Table& table = tables_[static_cast<std::size_t>(reading.table)];
  if (masses.pages() > 0) table.sum.resize(std::max(table.sum.size(), static_cast<std::size_t>(reading.pages.back()) + 1));
  if (reading.first_position < table.next) {
    table.counted_before = std::min(table.counted_before, reading.first_position);
    vote_from(table, reading.first_position);
  }
  table.next = reading.first_position + reading.rows;
  for (std::int32_t row = 0; row < reading.rows; ++row) {
    std::int64_t const position = reading.first_position + row;
    if (position < table.from) continue;
    for (std::size_t i = 0; i < masses.pages(); ++i) table.sum[static_cast<std::size_t>(reading.pages[i])] += masses.mean(i, row);
    ++table.votes;
    if (position + 1 >= table.to) count(table);
  }
}

void SnapKv::count(Table& table) const {
  auto const voted_on = std::min(table.sum.size(), static_cast<std::size_t>(blocks_before(table.from)));
  std::size_t const reach = shape_.page_tokens == 1 ? static_cast<std::size_t>(options_.pool / 2) : 0;
  table.score.assign(voted_on, 0);
  for (std::size_t i = 0; i < voted_on; ++i) {
    double sum = 0;
    for (std::size_t j = i - std::min(i, reach); j < std::min(voted_on, i + reach + 1); ++j) sum += table.sum[j];
    table.score[i] = static_cast<float>(std::min(1.0, sum / static_cast<double>(2 * reach + 1) / table.votes));
  }
  table.counted_before = table.from;
  vote_from(table, table.to);
}

void SnapKv::utilities(std::int32_t index, std::span<Block const> pages, Budget const&, std::span<float> u) {
  Table const& table = tables_.at(static_cast<std::size_t>(index));
  Block const newer = blocks_before(table.counted_before);
  for (std::size_t i = 0; i < pages.size(); ++i) {
    auto const block = static_cast<std::size_t>(pages[i]);
    u[i] = pages[i] >= newer ? 1 : block < table.score.size() ? table.score[block] : 0;
  }
}

void SnapKv::forget(std::int32_t index, Block page) {
  Table& table = tables_.at(static_cast<std::size_t>(index));
  auto const block = static_cast<std::size_t>(page);
  if (block < table.sum.size()) table.sum[block] = 0;
  if (block < table.score.size()) table.score[block] = 0;
}

void SnapKv::save(StateWriter& out) const {
  for (Table const& table : tables_) {
    for (std::int64_t const position : {table.from, table.to, table.next, table.counted_before}) out.value(position);
    out.value(table.votes);
    out.list(table.sum);
    out.list(table.score);
  }
}

void SnapKv::restore(StateReader& in) {
  for (Table& table : tables_) {
    for (std::int64_t* const position : {&table.from, &table.to, &table.next, &table.counted_before}) *position = in.value<std::int64_t>();
    table.votes = in.value<std::int32_t>();
    in.list(table.sum);
    in.list(table.score);
  }
}

std::unique_ptr<Scheduler> make_snapkv(SchedulerMaterial const& material, SnapKvOptions const& options) {
  return std::make_unique<SnapKv>(material.shape, options);
}

}   // namespace pikv::runtime
