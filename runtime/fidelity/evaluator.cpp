#include "runtime/fidelity/evaluator.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "comm/error.hpp"
#include "runtime/agree.hpp"
#include "runtime/cache_settings.hpp"
#include "runtime/device_choice.hpp"
#include "runtime/engine.hpp"
#include "runtime/model/embedded.hpp"

namespace pikv::runtime {

namespace {

constexpr std::size_t most_logit_bytes = std::size_t{1} << 30;   // of exact logits kept at once, per rank

GenerateOptions exact_options(GenerateOptions options) {
  options.kv_dtype = kernels::DType::f32;
  options.attention = "exact";
  options.scheduler = options.codec = "none";
  options.codec_k = options.codec_v = options.cold_codec = options.calibration = "";
  options.cold_after = 0;
  options.selection.reset();
  options.kv_budget = 0;   // of the setting that is measured
  return options;
}

bool holds_ids(EvaluateOptions const& options, std::string const& text) { return options.text.ends_with(".jsonl") || text.starts_with("{"); }

void check_readable(Job const& job, EvaluateOptions const& options, std::string const& text) {
  if (options.needles.count > 0 && holds_ids(options, text))
    throw InputError("--needles hides facts in text, and --text=" + options.text + " holds token ids; give it as text, or needles as --tasks");
  if (!text.empty() && !holds_ids(options, text) && !job.tokenizer)
    throw InputError(
        "this model's tokenizer is not supported here, so text cannot be measured; give --text the prompt_ids that jobs/tokenize.py makes of it, and "
        "needles as --tasks, from "
        "--write-tasks and the same script");
}

std::vector<EvalTask> windows_of(Job const& job, EvaluateOptions const& options, std::string const& text) {
  ModelConfig const& config = job.model->config();
  auto windows = text_tasks(holds_ids(options, text) ? read_ids(text, "--text=" + options.text, config.vocab, config.bos)
                                                     : TextIds{job.tokenizer->encode(text), job.tokenizer->bos()},
                            options.window);
  if (windows.empty())
    throw InputError(fmt::format("the text is shorter than a window of {} tokens; give a longer one, or a smaller --window", options.window));
  windows.resize(std::min(windows.size(), static_cast<std::size_t>(options.windows)));
  return windows;
}

void check_lengths(std::vector<EvalTask> const& tasks, std::int32_t most) {
  for (EvalTask const& task : tasks)
    if (auto const length = task.context.size() + task.follow.size(); static_cast<std::int64_t>(length) > most)
      throw InputError(
          fmt::format("a task of {} tokens is longer than the model's {} positions; give a smaller --window or --needle-length", length, most));
}

std::vector<EvalTask> tasks_of(Job& job, EvaluateOptions const& options) {
  bool const wants_text = options.windows > 0 && (options.tasks.empty() || !options.text.empty());
  std::string const text = wants_text || options.needles.count > 0 ? measured_text(job.world, options) : "";
  std::string const made = options.tasks.empty() ? "" : text_of_file(job.world, options.cache, options.tasks, "--tasks");
  std::vector<EvalTask> tasks;
  auto const add = [&](std::vector<EvalTask> const& more) { tasks.insert(tasks.end(), more.begin(), more.end()); };
  agree(job.world, options.cache.deadline_s, [&] {
    check_readable(job, options, text);
    if (!options.tasks.empty()) tasks = read_tasks(made, "--tasks=" + options.tasks, job.model->config().vocab);
    if (wants_text) add(windows_of(job, options, text));
    if (options.needles.count > 0) add(needle_tasks(options.needles, text, *job.tokenizer));
    if (tasks.empty()) throw InputError("there is nothing to measure; give --windows, --needles or --tasks");
    check_lengths(tasks, job.model->config().max_positions);
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

}   // namespace

std::string measured_text(comm::World& world, EvaluateOptions const& options) {
  std::string const path = options.text.empty() ? held_out_file().string() : options.text;
  return text_of_file(world, options.cache, path, "--text");
}

Evaluator::Evaluator(comm::World& world, EvaluateOptions const& options, std::string const& command_line)
    : world_{world},
      options_{options},
      active_{options.cache},
      job_{world, active_, command_line, {}, {}, {}, {}, {}, "", 0, {}},
      logits_{{}} {
  say_gpus_unused(world);
  agree(world, patience * active_.deadline_s, [&] { load_model(job_); });
  read_rank_plan(job_);
  tasks_ = tasks_of(job_, options);
  logits_ = LogitComparison{tasks_};
}

Fidelity Evaluator::measure(GenerateOptions const& setting) {
  AttentionFidelity attention;
  logits_.forget_differences();
  for (std::size_t first = 0, end = 0; first < tasks_.size(); first = end) {
    end = end_of_batch(first);
    job_.requests = requests_of(std::span{tasks_}.subspan(first, end - first), first);
    if (exact_from_ != first) run_exact(first);
    active_ = setting;
    run([&](Request const& request, std::int64_t position,
            std::span<float const> row) { logits_.compare(first + static_cast<std::size_t>(request.index), position, row); },
        &attention);
    if (world_.rank() == 0 && (first > 0 || end < tasks_.size())) spdlog::info("{} of {} tasks done", end, tasks_.size());
  }
  Fidelity fidelity = gather_fidelity(world_, tasks_, logits_, attention, options_.cache.deadline_s);
  set_byte_ratios(fidelity, setting, job_.model->config());
  return fidelity;
}

// As many tasks from there on as keep the exact logits within bounds, one of every rank's at least.
std::size_t Evaluator::end_of_batch(std::size_t first) const {
  std::size_t const row = static_cast<std::size_t>(job_.model->config().vocab) * sizeof(float);
  std::vector<std::size_t> bytes(static_cast<std::size_t>(world_.size()));
  std::size_t end = first;
  for (; end < tasks_.size(); ++end) {
    std::size_t& of_rank = bytes[(end - first) % bytes.size()];
    of_rank += logits_.rows_kept(end) * row;
    if (of_rank > most_logit_bytes && end - first >= bytes.size()) break;
  }
  return end;
}

void Evaluator::run_exact(std::size_t first) {
  logits_.forget_exact();
  exact_from_.reset();
  active_ = exact_options(options_.cache);
  run([&](Request const& request, std::int64_t position,
          std::span<float const> row) { logits_.exact(first + static_cast<std::size_t>(request.index), position, row); },
      nullptr);
  exact_from_ = first;
}

void Evaluator::run(LogitsObserver observer, AttentionFidelity* attention) {
  load_codecs(job_);
  size_job(job_);
  std::vector<Request const*> mine;
  for (Request const& request : job_.requests)
    if (request.index % world_.size() == world_.rank()) mine.push_back(&request);
  EngineHooks hooks;
  hooks.logits = std::move(observer);
  Engine engine{world_, *job_.model, nullptr, engine_options(job_), mine, hooks};
  std::optional<Shadow> shadow;
  if (attention != nullptr) engine.watch(&shadow.emplace(engine.store()));
  engine.run();
  agree(world_, active_.deadline_s, [&] {
    for (Result const& result : engine.results())
      if (result.finish == Finish::error) throw RunError(job_.requests[static_cast<std::size_t>(result.index)].id + ": " + result.error);
  });
  if (!shadow) return;
  AttentionFidelity const& seen = shadow->fidelity();
  attention->recall.insert(attention->recall.end(), seen.recall.begin(), seen.recall.end());
  attention->output_error.insert(attention->output_error.end(), seen.output_error.begin(), seen.output_error.end());
  attention->pages_read += seen.pages_read;
  attention->bytes_read += seen.bytes_read;
  attention->bytes_kept += seen.bytes_kept;
  attention->pages_kept += seen.pages_kept;
  attention->pages_ever += seen.pages_ever;
}

}   // namespace pikv::runtime
