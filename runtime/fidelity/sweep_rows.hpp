#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/fidelity/fidelity.hpp"
#include "runtime/hdf5/row_type.hpp"
#include "runtime/options.hpp"

namespace pikv::runtime {

/// Members of fidelity_json as columns: "/attention_recall/mean" is the column attention_recall_mean.
inline constexpr std::array<char const*, 16> figure_pointers{"/positions",
                                                             "/nll",
                                                             "/nll_exact",
                                                             "/perplexity_ratio",
                                                             "/kl",
                                                             "/top1_agreement",
                                                             "/attention_recall/mean",
                                                             "/attention_recall/p05",
                                                             "/output_error/mean",
                                                             "/output_error/p99",
                                                             "/bytes_read_ratio",
                                                             "/bytes_kept_ratio",
                                                             "/needle/count",
                                                             "/needle/exact",
                                                             "/needle/policy",
                                                             "/needle/half_interval"};
std::string figure_name(std::size_t figure);
/// Its place in the list, for use in code: a misspelt one does not compile.
consteval std::size_t figure(std::string_view pointer) {
  std::size_t i = 0;
  while (figure_pointers.at(i) != pointer) ++i;
  return i;
}

/// A row of /points: one setting, and what it kept of exact attention.
struct PointRow {
  std::array<char, 16> router{}, scheduler{};   // router `none`: every page is read
  std::array<char, 64> codec{};
  std::array<char, 32> home{};
  double keep = 1;
  std::int32_t page_tokens = 0, experts = 0, read_pages = 0;   // 0: all
  std::int32_t baseline = 0;                                   // 1: a published scheduler as it is, without router and codec
  std::int32_t done = 0;                                       // 1: measured; the figures are NaN before, and those of needles where there are none
  std::array<double, figure_pointers.size()> figures{};

  bool same_setting(PointRow const& other) const;
};

/// A row of /needles: questions of one kind and depth, of points[point].
struct NeedleRow {
  std::int64_t point = 0;
  std::array<char, 16> kind{};
  double depth = 0;
  std::int64_t count = 0;
  double exact = 0, policy = 0;   // shares found
};

/// A row of /tasks: one task under points[point], for differences between settings, task by task.
struct TaskRow {
  std::int64_t point = 0, task = 0;   // task: its place in the list
  std::array<char, 16> kind{};
  double depth = 0;
  std::int64_t length = 0;
  double nll = 0, nll_exact = 0;
  std::int32_t right = 0, right_exact = 0;   // all that is scored would have been chosen
};

PointRow point_row(GenerateOptions const& setting);
/// Fills in what was measured.
void measured(PointRow& row, Fidelity const& fidelity);
std::vector<NeedleRow> needle_rows(std::int64_t point, Fidelity const& fidelity);
std::vector<TaskRow> task_rows(std::int64_t point, Fidelity const& fidelity);

hdf5::RowType point_row_type();
hdf5::RowType needle_row_type();
hdf5::RowType task_row_type();

template <std::size_t N>
std::string text_of(std::array<char, N> const& field) {
  std::string_view const padded{field.data(), N};
  return std::string{padded.substr(0, padded.find('\0'))};
}

}   // namespace pikv::runtime
