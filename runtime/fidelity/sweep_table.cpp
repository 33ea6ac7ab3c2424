#include "runtime/fidelity/sweep_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace pikv::runtime {

namespace {

struct Setting {
  char const* column;   // of the table
  char const* name;     // of CSV and log
  std::string (*text)(PointRow const&);
};

std::string number_or_all(std::int32_t number) { return number == 0 ? "all" : fmt::format("{}", number); }

Setting const settings[] = {{"router", "router", [](PointRow const& row) { return text_of(row.router); }},
                            {"scheduler", "scheduler", [](PointRow const& row) { return text_of(row.scheduler); }},
                            {"codec", "codec", [](PointRow const& row) { return text_of(row.codec); }},
                            {"home", "home", [](PointRow const& row) { return text_of(row.home); }},
                            {"keep", "keep", [](PointRow const& row) { return fmt::format("{}", row.keep); }},
                            {"page", "page_tokens", [](PointRow const& row) { return fmt::format("{}", row.page_tokens); }},
                            {"experts", "experts", [](PointRow const& row) { return number_or_all(row.experts); }},
                            {"pages", "read_pages", [](PointRow const& row) { return number_or_all(row.read_pages); }}};

std::string percent(double share) { return std::isnan(share) ? "-" : fmt::format("{:.2f} %", 100 * share); }

struct Figure {
  char const* column;
  std::string (*text)(PointRow const&);
};

Figure const figures[] = {{"KL, nats", [](PointRow const& row) { return fmt::format("{:.3g}", row.figures[figure("/kl")]); }},
                          {"perplexity", [](PointRow const& row) { return fmt::format("x {:.4f}", row.figures[figure("/perplexity_ratio")]); }},
                          {"same top", [](PointRow const& row) { return percent(row.figures[figure("/top1_agreement")]); }},
                          {"recall", [](PointRow const& row) { return fmt::format("{:.4f}", row.figures[figure("/attention_recall/mean")]); }},
                          {"needles", [](PointRow const& row) { return percent(row.figures[figure("/needle/policy")]); }},
                          {"read", [](PointRow const& row) { return percent(row.figures[figure("/bytes_read_ratio")]); }},
                          {"kept", [](PointRow const& row) { return percent(row.figures[figure("/bytes_kept_ratio")]); }}};

bool differs(std::span<PointRow const> rows, Setting const& setting) {
  return std::ranges::any_of(rows, [&](PointRow const& row) { return setting.text(row) != setting.text(rows.front()); });
}

}   // namespace

std::string setting_text(PointRow const& row) {
  std::string text;
  for (Setting const& setting : settings)
    if (auto const value = setting.text(row); value != "none" && value != "all" && value != "mod")
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", setting.name, value);
  return text;
}

std::string sweep_table(std::span<PointRow const> rows) {
  std::vector<PointRow> sorted{rows.begin(), rows.end()};
  std::ranges::stable_sort(sorted, {}, [](PointRow const& row) { return row.figures[figure("/kl")]; });
  std::string text;
  for (Setting const& setting : settings)
    if (differs(rows, setting)) text += fmt::format("{:<15}", setting.column);
  for (Figure const& shown : figures) text += fmt::format("{:>12}", shown.column);
  for (PointRow const& row : sorted) {
    text += '\n';
    for (Setting const& setting : settings)
      if (differs(rows, setting)) text += fmt::format("{:<15}", setting.text(row));
    for (Figure const& shown : figures) text += fmt::format("{:>12}", shown.text(row));
    if (row.baseline != 0) text += "  baseline";
  }
  return text + '\n';
}

std::string sweep_csv(std::span<PointRow const> rows) {
  std::string text;
  for (Setting const& setting : settings) text += fmt::format("{},", setting.name);
  text += "baseline";
  for (std::size_t i = 0; i < figure_pointers.size(); ++i) text += ',' + figure_name(i);
  for (PointRow const& row : rows) {
    text += '\n';
    for (Setting const& setting : settings) text += setting.text(row) + ',';
    text += fmt::format("{}", row.baseline);
    for (double const value : row.figures) text += std::isnan(value) ? "," : fmt::format(",{}", value);
  }
  return text + '\n';
}

}   // namespace pikv::runtime
