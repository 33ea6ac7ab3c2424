#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/buffer.hpp"

namespace pikv::shards {

/// An AttendPlan under construction: flat arrays that keep their memory from step to step.
class Plan {
 public:
  void clear() {
    row_offsets_.assign(1, 0);
    page_offsets_.assign(1, 0);
    slots_.clear();
    first_position_.clear();
    tokens_.clear();
    row_position_.clear();
  }
  /// Room for so many pages: a plan of no more does not allocate.
  void reserve(std::size_t pages) {
    for (auto* const list : {&slots_, &first_position_, &tokens_}) list->reserve(pages);
  }
  void page(std::int32_t slot, std::int64_t first, std::int32_t tokens) {
    slots_.push_back(slot);
    first_position_.push_back(static_cast<std::int32_t>(first));
    tokens_.push_back(tokens);
  }
  /// Ends a group: the pages added since the last one, and `rows` rows from position `first` on.
  void end_group(std::int64_t first, std::int32_t rows) {
    for (std::int32_t r = 0; r < rows; ++r) row_position_.push_back(static_cast<std::int32_t>(first) + r);
    row_offsets_.push_back(static_cast<std::int32_t>(row_position_.size()));
    page_offsets_.push_back(static_cast<std::int32_t>(slots_.size()));
  }
  /// Log-sum-exps of its pages, rows and query heads.
  std::size_t lse_floats(std::int32_t q_heads) const {
    std::size_t pairs = 0;
    for (std::size_t g = 0; g + 1 < row_offsets_.size(); ++g)
      pairs += static_cast<std::size_t>(row_offsets_[g + 1] - row_offsets_[g]) * static_cast<std::size_t>(page_offsets_[g + 1] - page_offsets_[g]);
    return pairs * static_cast<std::size_t>(q_heads);
  }
  kernels::AttendPlan view() const {
    return {static_cast<std::int32_t>(row_offsets_.size()) - 1, row_offsets_.data(), page_offsets_.data(),  slots_.data(),
            first_position_.data(),                             tokens_.data(),      row_position_.data()};
  }

 private:
  std::vector<std::int32_t> row_offsets_, page_offsets_, slots_, first_position_, tokens_, row_position_;
};

/// Partials of some rows, in memory of a device that is kept.
class PartialBuffer {
 public:
  explicit PartialBuffer(kernels::Device& device) : floats_{device} {}
  kernels::PartialView resize(std::int32_t rows, std::int32_t heads, std::int32_t d) { return view(floats_.resize(floats(rows, heads, d)), rows, heads, d); }

  /// Of the last: sum [rows][heads][d], then max and denom [rows][heads].
  float const* data() const { return floats_.data(); }
  std::size_t size() const { return floats_.size(); }
  static std::size_t floats(std::int32_t rows, std::int32_t heads, std::int32_t d) {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(heads) * (static_cast<std::size_t>(d) + 2);
  }
  /// Of floats in this order, anywhere. (Views are of mutable floats.)
  static kernels::PartialView view(float const* floats, std::int32_t rows, std::int32_t heads, std::int32_t d) {
    float* const sum = const_cast<float*>(floats);
    std::size_t const n = static_cast<std::size_t>(rows) * static_cast<std::size_t>(heads);
    return {sum, sum + n * static_cast<std::size_t>(d), sum + n * static_cast<std::size_t>(d + 1)};
  }

 private:
  kernels::Buffer<float> floats_;
};

}  // namespace pikv::shards
