#include "runtime/fidelity/evaluate.hpp"

#include <fmt/format.h>
#include <omp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "comm/error.hpp"
#include "runtime/agree.hpp"
#include "runtime/build_info.hpp"
#include "runtime/cache_settings.hpp"
#include "runtime/fidelity/fidelity.hpp"
#include "runtime/model/embedded.hpp"
#include "runtime/output_file.hpp"
#include "runtime/setup.hpp"

namespace pikv::runtime {

namespace {

constexpr std::size_t most_logit_bytes = std::size_t{1} << 30;   // of exact logits kept at once, per rank

GenerateOptions exact_options(GenerateOptions options) {
  options.kv_dtype = kernels::DType::f32;
  options.attention = "exact";
  options.scheduler = options.codec = "none";
  return options;
}

std::string haystack(comm::World& world, EvaluateOptions const& options) {
  std::string const path = options.text.empty() ? held_out_file().string() : options.text;
  return text_of_file(world, options.cache, path, "--text");
}

std::vector<EvalTask> tasks_of(Job& job, EvaluateOptions const& options) {
  bool const wants_text = options.windows > 0 && (options.tasks.empty() || !options.text.empty());
  std::string const text = wants_text || options.needles.count > 0 ? haystack(job.world, options) : "";
  std::string const made = options.tasks.empty() ? "" : text_of_file(job.world, options.cache, options.tasks, "--tasks");
  std::vector<EvalTask> tasks;
  agree(job.world, options.cache.deadline_s, [&] {
    std::int32_t const vocab = job.model->config().vocab;
    if (!text.empty() && !job.tokenizer)
      throw InputError("this model's tokenizer is not supported here, so text cannot be measured; make tasks with --write-tasks and jobs/tokenize.py, and give them with --tasks");
    if (!options.tasks.empty()) tasks = read_tasks(made, "--tasks=" + options.tasks, vocab);
    if (wants_text) {
      auto windows = text_tasks(job.tokenizer->encode(text), options.window);
      if (windows.empty()) throw InputError(fmt::format("the text is shorter than a window of {} tokens; give a longer one, or a smaller --window", options.window));
      windows.resize(std::min(windows.size(), static_cast<std::size_t>(options.windows)));
      tasks.insert(tasks.end(), windows.begin(), windows.end());
    }
    if (options.needles.count > 0) {
      auto const needles = needle_tasks(options.needles, text, *job.tokenizer);
      tasks.insert(tasks.end(), needles.begin(), needles.end());
    }
    if (tasks.empty()) throw InputError("there is nothing to measure; give --windows, --needles or --tasks");
    for (EvalTask const& task : tasks)
      if (static_cast<std::int64_t>(task.context.size() + task.follow.size()) > job.model->config().max_positions)
        throw InputError(fmt::format("a task of {} tokens is longer than the model's {} positions; give a smaller --window or --needle-length",
                                     task.context.size() + task.follow.size(), job.model->config().max_positions));
  });
  return tasks;
}

std::vector<Request> requests_of(std::span<EvalTask const> tasks, std::size_t first) {
  std::vector<Request> requests;
  for (EvalTask const& task : tasks) {
    Request request;
    request.index = static_cast<std::int64_t>(requests.size());
    request.id = fmt::format("{} {}", task.kind, first + requests.size());
    request.prompt = task.context;
    request.forced = task.follow;
    request.max_new_tokens = static_cast<std::int32_t>(task.follow.size());
    requests.push_back(std::move(request));
  }
  return requests;
}

// As many tasks at a time as keep the exact logits within bounds.
std::size_t tasks_at_once(std::span<EvalTask const> tasks, std::int32_t vocab, int ranks) {
  std::size_t most = 1;
  for (EvalTask const& task : tasks) most = std::max(most, task.follow.size());
  return static_cast<std::size_t>(ranks) * std::max<std::size_t>(1, most_logit_bytes / (most * static_cast<std::size_t>(vocab) * sizeof(float)));
}

void run_tasks(Job& job, LogitsObserver observer, AttentionFidelity* attention) {
  size_job(job);
  std::vector<Request const*> mine;
  for (Request const& request : job.requests)
    if (request.index % job.world.size() == job.world.rank()) mine.push_back(&request);
  EngineHooks hooks;
  hooks.logits = std::move(observer);
  Engine engine{job.world, *job.model, nullptr, engine_options(job), mine, hooks};
  std::optional<Shadow> shadow;
  if (attention != nullptr) engine.watch(&shadow.emplace(engine.store()));
  engine.run();
  agree(job.world, job.options.deadline_s, [&] {
    for (Result const& result : engine.results())
      if (result.finish == Finish::error) throw RunError(job.requests[static_cast<std::size_t>(result.index)].id + ": " + result.error);
  });
  if (!shadow) return;
  AttentionFidelity const& seen = shadow->fidelity();
  attention->recall.insert(attention->recall.end(), seen.recall.begin(), seen.recall.end());
  attention->output_error.insert(attention->output_error.end(), seen.output_error.begin(), seen.output_error.end());
  attention->pages_read += seen.pages_read;
  attention->pages_kept += seen.pages_kept;
  attention->pages_ever += seen.pages_ever;
}

// Bytes as they are read and kept: pages, headers where they are kept, and the summaries that say which pages to read.
void add_ratios(Fidelity& fidelity, GenerateOptions const& options, ModelConfig const& config) {
  PageTables const tables = page_tables(options, config);
  CacheSettings const settings = cache_settings(options, config);
  double const page = static_cast<double>(tables.layout.bytes()), header = shards::header_bytes;
  double const summary = static_cast<double>(CacheManager::summary_bytes_per_page(settings, tables.layout));
  double const ever = static_cast<double>(fidelity.attention.pages_ever), kept = static_cast<double>(fidelity.attention.pages_kept);
  double const read = static_cast<double>(fidelity.attention.pages_read);
  fidelity.bytes_read_ratio = (read * page + kept * summary_bytes_read(settings, tables.layout)) / (ever * page);
  fidelity.bytes_kept_ratio = kept * (page + header + summary) / (ever * (page + header));
}

}  // namespace

int run_evaluate(comm::World& world, EvaluateOptions const& options, std::string const& command_line) {
  omp_set_num_threads(threads_per_rank(options.cache, world));
  if (!options.write_tasks.empty()) {
    std::string const text = haystack(world, options);
    agree(world, options.cache.deadline_s, [&] {
      if (world.rank() != 0) return;
      OutputFile file{options.write_tasks, "--write-tasks"};
      file.write(needle_texts(options.needles, text));
      file.commit();
    });
    return 0;
  }
  GenerateOptions active = options.cache;
  Job job{world, active, command_line, {}, {}, {}, {}, {}, "", 0, {}};
  agree(world, patience * active.deadline_s, [&] { load_model(job); });
  read_rank_plan(job);
  std::vector<EvalTask> const tasks = tasks_of(job, options);
  LogitComparison logits{tasks};
  AttentionFidelity attention;
  std::size_t const at_once = tasks_at_once(tasks, job.model->config().vocab, world.size());
  for (std::size_t first = 0; first < tasks.size(); first += at_once) {
    job.requests = requests_of(std::span{tasks}.subspan(first, std::min(at_once, tasks.size() - first)), first);
    auto const place = [&](Request const& request) { return first + static_cast<std::size_t>(request.index); };
    active = exact_options(options.cache);
    run_tasks(job, [&](Request const& request, std::int64_t position, std::span<float const> row) { logits.exact(place(request), position, row); }, nullptr);
    active = options.cache;
    run_tasks(job, [&](Request const& request, std::int64_t position, std::span<float const> row) { logits.compare(place(request), position, row); }, &attention);
    logits.forget_exact();
    if (world.rank() == 0) spdlog::info("{} of {} tasks done", std::min(first + at_once, tasks.size()), tasks.size());
  }
  Fidelity fidelity = gather_fidelity(world, tasks, logits, attention, options.cache.deadline_s);
  add_ratios(fidelity, options.cache, job.model->config());
  agree(world, options.cache.deadline_s, [&] {
    if (world.rank() != 0) return;
    std::cout << fidelity_table(fidelity) << std::flush;
    if (options.cache.report.empty()) return;
    OutputFile file{options.cache.report, "--report"};
    nlohmann::json const report = {{"version", version()}, {"command", command_line}, {"ranks", world.size()}, {"tasks", tasks.size()}, {"fidelity", fidelity_json(fidelity)}};
    file.write(report.dump(2) + "\n");
    file.commit();
  });
  return 0;
}

}  // namespace pikv::runtime
