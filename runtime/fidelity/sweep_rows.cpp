#include "runtime/fidelity/sweep_rows.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <tuple>

namespace pikv::runtime {

namespace {

constexpr std::array<std::string_view, 4> baselines{"flexgen", "h2o", "streaming", "tova"};
constexpr double nothing = std::numeric_limits<double>::quiet_NaN();

template <std::size_t N>
void set(std::array<char, N>& field, std::string const& text) {
  std::copy_n(text.begin(), std::min(text.size(), N), field.begin());
}

}   // namespace

std::string figure_name(std::size_t figure) {
  std::string name = figure_pointers[figure] + 1;
  std::ranges::replace(name, '/', '_');
  return name;
}

bool PointRow::same_setting(PointRow const& other) const {
  auto const all = [](PointRow const& row) {
    return std::tie(row.router, row.scheduler, row.codec, row.home, row.keep, row.page_tokens, row.experts, row.read_pages);
  };
  return all(*this) == all(other);
}

PointRow point_row(GenerateOptions const& setting) {
  PointRow row;
  bool const routed = setting.attention != "exact";
  set(row.router, routed ? setting.router : "none");
  set(row.scheduler, setting.scheduler);
  set(row.codec, setting.codec);
  set(row.home, setting.home);
  row.keep = setting.keep;
  row.page_tokens = setting.page_tokens;
  row.experts = setting.experts;
  row.read_pages = setting.read_pages;
  row.baseline = !routed && setting.codec == "none" && std::ranges::find(baselines, setting.scheduler) != baselines.end() ? 1 : 0;
  row.figures.fill(nothing);
  return row;
}

void measured(PointRow& row, Fidelity const& fidelity) {
  nlohmann::json const json = fidelity_json(fidelity);
  for (std::size_t i = 0; i < row.figures.size(); ++i) row.figures[i] = json.at(nlohmann::json::json_pointer{figure_pointers[i]}).get<double>();
  if (fidelity.needles.empty())
    for (std::size_t const i : {figure("/needle/exact"), figure("/needle/policy"), figure("/needle/half_interval")}) row.figures[i] = nothing;
  row.done = 1;
}

std::vector<NeedleRow> needle_rows(std::int64_t point, Fidelity const& fidelity) {
  std::vector<NeedleRow> rows;
  nlohmann::json const json = fidelity_json(fidelity);
  for (auto const& group : json["needle"].value("by", nlohmann::json::array())) {
    NeedleRow& row = rows.emplace_back();
    row.point = point;
    set(row.kind, group.at("kind").get<std::string>());
    row.depth = group.at("depth").get<double>();
    row.count = group.at("count").get<std::int64_t>();
    row.exact = group.at("exact").get<double>();
    row.policy = group.at("policy").get<double>();
  }
  return rows;
}

std::vector<TaskRow> task_rows(std::int64_t point, Fidelity const& fidelity) {
  std::vector<TaskRow> rows;
  for (TaskScore const& score : fidelity.tasks) {
    TaskRow row{.point = point, .task = score.task, .depth = score.depth, .length = score.length, .nll = score.nll, .nll_exact = score.nll_exact};
    set(row.kind, score.kind);
    row.right = score.found ? 1 : 0;
    row.right_exact = score.exact ? 1 : 0;
    rows.push_back(row);
  }
  return rows;
}

hdf5::RowType point_row_type() {
  hdf5::RowType type;
  type.add("router", &PointRow::router).add("scheduler", &PointRow::scheduler).add("codec", &PointRow::codec).add("home", &PointRow::home);
  type.add("keep", &PointRow::keep)
      .add("page_tokens", &PointRow::page_tokens)
      .add("experts", &PointRow::experts)
      .add("read_pages", &PointRow::read_pages);
  type.add("baseline", &PointRow::baseline).add("done", &PointRow::done).add_each(&PointRow::figures, figure_name);
  return type;
}

hdf5::RowType needle_row_type() {
  hdf5::RowType type;
  type.add("point", &NeedleRow::point).add("kind", &NeedleRow::kind).add("depth", &NeedleRow::depth).add("count", &NeedleRow::count);
  type.add("exact", &NeedleRow::exact).add("policy", &NeedleRow::policy);
  return type;
}

hdf5::RowType task_row_type() {
  hdf5::RowType type;
  type.add("point", &TaskRow::point).add("task", &TaskRow::task).add("kind", &TaskRow::kind).add("depth", &TaskRow::depth).add("length", &TaskRow::length);
  type.add("nll", &TaskRow::nll).add("nll_exact", &TaskRow::nll_exact).add("right", &TaskRow::right).add("right_exact", &TaskRow::right_exact);
  return type;
}

}   // namespace pikv::runtime
