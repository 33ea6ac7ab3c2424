#include "runtime/fidelity/sweep.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <omp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "comm/checksum.hpp"
#include "comm/error.hpp"
#include "kernels/dtype.hpp"
#include "runtime/agree.hpp"
#include "runtime/checkpoint/format.hpp"
#include "runtime/fidelity/evaluator.hpp"
#include "runtime/fidelity/grid.hpp"
#include "runtime/fidelity/sweep_file.hpp"
#include "runtime/fidelity/sweep_table.hpp"
#include "runtime/output_file.hpp"

namespace pikv::runtime {

namespace {

namespace fs = std::filesystem;

void check_outputs(SweepOptions const& options) {
  if (!fs::exists(options.output) && !fs::exists(part_of(options.output))) {
    open_part(options.output, "--output");
    fs::remove(part_of(options.output));
  }
  if (options.csv.empty()) return;
  std::error_code absent;   // a file that is not there is no other's
  for (auto const& [name, other] : {std::pair{"--output", &options.output}, std::pair{"--grid", &options.grid},
                                    std::pair{"--text", &options.evaluate.text}, std::pair{"--tasks", &options.evaluate.tasks}})
    if (*other == options.csv || (!other->empty() && fs::equivalent(*other, options.csv, absent)))
      throw InputError(fmt::format("--csv={} is the same file as {}={}; give another name", options.csv, name, *other));
  open_part(options.csv, "--csv");
  fs::remove(part_of(options.csv));
}

std::string digest(std::vector<EvalTask> const& tasks) {
  std::string text;
  for (EvalTask const& task : tasks)
    text += fmt::format("{} {} {} [{}] [{}]\n", task.kind, task.depth, task.scored_from, fmt::join(task.context, " "), fmt::join(task.follow, " "));
  return fmt::format("{:016x}", comm::checksum(std::as_bytes(std::span{text})));
}

std::string digest_of_file(std::string const& path) {
  std::ifstream file{path, std::ios::binary};
  std::string const bytes{std::istreambuf_iterator<char>{file}, {}};
  return fmt::format("{:016x}", comm::checksum(std::as_bytes(std::span{bytes})));
}

std::string shared_options(GenerateOptions const& options) {
  std::string text = fmt::format("kv-dtype={} kv-experts={} pin-window={} redundancy={} prefill-chunk={} batch={} seed={}", kernels::name_of(options.kv_dtype),
                                 options.kv_experts, options.pin_window, options.redundancy, options.prefill_chunk, options.batch, options.sampling.seed);
  if (options.kv_budget != 0) text += fmt::format(" kv-budget={}", options.kv_budget);   // `auto` chooses by it
  if (!options.calibration.empty()) text += " calibration=" + digest_of_file(options.calibration);
  return text;
}

// In which a sweep on the disk differs from this one; empty if it goes on.
std::string difference(SweepFile const& there, SweepFile const& here) {
  if (there.subject.model != here.subject.model) return "of another model";
  if (there.subject.tasks != here.subject.tasks) return "of other text or tasks";
  if (there.subject.options != here.subject.options)
    return fmt::format("with other options ({} there, {} here)", there.subject.options, here.subject.options);
  if (!std::ranges::equal(there.points, here.points, &PointRow::same_setting)) return "of another grid";
  return "";
}

// What was measured before, if anything was.
void go_on(SweepFile& sweep, std::string const& output) {
  for (fs::path const& path : {fs::path{output}, part_of(output)}) {
    if (!fs::exists(path)) continue;
    SweepFile before = read_sweep(path);
    if (auto const other = difference(before, sweep); !other.empty())
      throw InputError(fmt::format("{} holds a sweep {}; give another --output, or remove it", path.string(), other));
    sweep = std::move(before);
    return;
  }
}

void say_plan(SweepPlan const& plan, SweepFile const& sweep) {
  for (auto const& [why, count] : plan.left_out) spdlog::info("left out, {} of the grid's combinations: {}", count, why);
  auto const done = std::ranges::count(sweep.points, 1, &PointRow::done);
  spdlog::info("{} settings{}", sweep.points.size(), done == 0 ? "" : fmt::format(", {} of them measured before", done));
}

void say_measured(SweepFile const& sweep, std::size_t place) {
  PointRow const& row = sweep.points[place];
  spdlog::info("{} of {}: {}: KL {:.3g}, {:.1f} % of the bytes read, {:.1f} % kept", place + 1, sweep.points.size(), setting_text(row),
               row.figures[figure("/kl")], 100 * row.figures[figure("/bytes_read_ratio")], 100 * row.figures[figure("/bytes_kept_ratio")]);
}

Fidelity measure(Evaluator& evaluator, GenerateOptions const& setting) {
  try {
    return evaluator.measure(setting);
  } catch (AgreedError const& error) {
    throw AgreedError{{error.code, fmt::format("{}: {}", setting_text(point_row(setting)), error.what())}};
  }
}

void finish(SweepFile const& sweep, SweepOptions const& options) {
  if (!fs::exists(options.output)) publish(options.output);
  if (!options.csv.empty()) {
    OutputFile file{options.csv, "--csv"};
    file.write(sweep_csv(sweep.points));
    file.commit();
  }
  std::cout << sweep_table(sweep.points) << std::flush;
}

}   // namespace

int run_sweep(comm::World& world, SweepOptions const& options, std::string const& command_line) {
  GenerateOptions const& shared = options.evaluate.cache;
  double const deadline_s = shared.deadline_s;
  auto const on_rank_0 = [&](comm::FunctionRef<void()> action) {
    agree(world, patience * deadline_s, [&] {
      if (world.rank() == 0) action();
    });
  };
  omp_set_num_threads(threads_per_rank(shared, world));
  std::string const grid = text_of_file(world, shared, options.grid, "--grid");
  SweepPlan plan;
  agree(world, deadline_s, [&] { plan = plan_sweep(grid, options.grid, shared.given); });
  on_rank_0([&] { check_outputs(options); });
  Evaluator evaluator{world, options.evaluate, command_line};
  SweepFile sweep{{hex(evaluator.model().fingerprint()), digest(evaluator.tasks()), {}}, command_line, {}, {}, {}};
  for (GenerateOptions const& point : plan.points) sweep.points.push_back(point_row(point));
  on_rank_0([&] {
    sweep.subject.options = shared_options(shared);   // it reads a file
    go_on(sweep, options.output);
    say_plan(plan, sweep);
  });
  std::vector<std::int32_t> done;
  for (PointRow const& row : sweep.points) done.push_back(row.done);
  auto const all = world.all_gather(std::as_bytes(std::span{done}), world.in(deadline_s));
  std::memcpy(done.data(), all[0].data(), all[0].size());
  for (std::size_t i = 0; i < plan.points.size(); ++i) {
    if (done[i] != 0) continue;
    Fidelity const fidelity = measure(evaluator, plan.points[i]);
    on_rank_0([&] {
      measured(sweep.points[i], fidelity);
      for (NeedleRow const& row : needle_rows(static_cast<std::int64_t>(i), fidelity)) sweep.needles.push_back(row);
      for (TaskRow const& row : task_rows(static_cast<std::int64_t>(i), fidelity)) sweep.tasks.push_back(row);
      write_sweep(part_of(options.output), sweep);
      say_measured(sweep, i);
    });
  }
  on_rank_0([&] { finish(sweep, options); });
  return 0;
}

}   // namespace pikv::runtime
