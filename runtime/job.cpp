#include "runtime/job.hpp"

#include <fmt/format.h>
#include <omp.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <thread>

#include "comm/cores.hpp"
#include "comm/error.hpp"
#include "comm/faults.hpp"
#include "runtime/agree.hpp"
#include "runtime/attributes.hpp"
#include "runtime/build_info.hpp"
#include "runtime/engine.hpp"
#include "runtime/gather.hpp"
#include "runtime/log.hpp"
#include "runtime/logits_file.hpp"
#include "runtime/model/tokenizer.hpp"
#include "runtime/output_file.hpp"
#include "runtime/output_paths.hpp"
#include "runtime/progress.hpp"
#include "runtime/prompts.hpp"
#include "runtime/report.hpp"
#include "runtime/sizing.hpp"
#include "runtime/summary.hpp"
#include "runtime/trace.hpp"
#include "shards/codec.hpp"

namespace pikv::runtime {

namespace {

// Reading and writing of one rank takes what it takes; the others wait this many deadlines for it.
constexpr double patience = 20;

/// What every rank knows before the first step.
struct Job {
  comm::World& world;
  GenerateOptions const& options;
  std::string const& command_line;
  std::filesystem::path model_dir;
  std::optional<Model> model;
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<Request> requests;
  Sizing sizing;
};

// The bytes of a file that an option names; `-` is stdin.
std::string read_text(std::string const& path, std::string const& option) {
  std::ifstream file;
  if (path != "-") {
    bool const folder = std::filesystem::is_directory(path);
    if (!folder) file.open(path, std::ios::binary);
    if (!file.is_open()) throw InputError(option + "=" + path + (folder ? " is a folder" : " could not be read") + "; give a file that exists");
  }
  std::istream& in = path == "-" ? std::cin : file;
  std::string text{std::istreambuf_iterator<char>{in}, {}};
  if (in.bad()) throw InputError(option + "=" + path + " could not be read to its end; give a regular file");
  return text;
}

// Rank 0 reads, all get the bytes: the file need not be visible everywhere, and stdin is rank 0's alone.
std::string prompt_text(comm::World& world, GenerateOptions const& options, std::string const& path) {
  std::string text;
  agree(world, patience * options.deadline_s, [&] {
    if (world.rank() == 0) text = read_text(path, "--prompts");
  });
  auto const parts = world.all_gather(std::as_bytes(std::span{text}), world.in(options.deadline_s));
  return {reinterpret_cast<char const*>(parts[0].data()), parts[0].size()};
}

void read_prompts_of(Job& job) {
  GenerateOptions const& options = job.options;
  PromptContext const context{job.model->config(), job.tokenizer.get(), options.max_new_tokens};
  if (options.has_prompt) {
    agree(job.world, options.deadline_s, [&] { job.requests = prompt_from_text(options.prompt, context); });
    return;
  }
  std::string const path = options.prompts.empty() ? sample_prompts_file().string() : options.prompts;
  std::istringstream text{prompt_text(job.world, options, path)};
  agree(job.world, options.deadline_s,
        [&] { job.requests = read_prompts(text, path == "-" ? "stdin" : path, prompt_format(options.prompt_format), context); });
}

int ranks_on_host(comm::World const& world) {
  int ranks = 0;
  for (comm::Rank rank = 0; rank < world.size(); ++rank) ranks += world.host(rank) == world.host(world.rank()) ? 1 : 0;
  return ranks;
}

void size_job(Job& job) {
  std::uint64_t const mine = free_memory() / static_cast<std::uint64_t>(ranks_on_host(job.world));   // hosts may differ: the least counts
  auto const free = job.world.all_gather(std::as_bytes(std::span{&mine, 1}), job.world.in(job.options.deadline_s));
  std::uint64_t least = mine;
  for (comm::Bytes const& bytes : free) least = std::min(least, comm::MessageReader{bytes}.value<std::uint64_t>());
  agree(job.world, job.options.deadline_s, [&] {
    job.sizing = size_store(job.options, job.model->config(), job.requests, job.world.size(), 1, least);
  });
}

EngineOptions engine_options(Job const& job) {
  GenerateOptions const& options = job.options;
  ModelConfig const& config = job.model->config();
  EngineOptions engine;
  engine.deadline_s = options.deadline_s;
  engine.sequences = {options.batch, options.prefill_chunk, options.sampling, !options.logits.empty(), false};
  shards::StoreOptions& store = engine.store;
  store.layers = config.layers;
  store.q_heads = config.q_heads;
  store.layout = page_layout(options, config);
  store.fingerprint = shards::page_fingerprint(job.model->fingerprint(), store.layout);
  store.slots = job.sizing.slots;
  store.home_slots = job.sizing.home_slots;
  store.replica_slots = job.sizing.replica_slots;
  store.local = options.store == StoreMode::local;
  store.move = options.move;
  store.home = options.home;
  if (options.kv_experts > 0) store.kv_experts = options.kv_experts;
  store.most_rows = std::max(options.prefill_chunk, options.batch);
  store.most_streams = options.batch;
  store.most_blocks = job.sizing.most_blocks;
  store.deadline_s = options.deadline_s;
  store.scrub_bytes_per_step = options.scrub;
  store.most_events = options.trace.empty() ? 0 : static_cast<std::size_t>(options.trace_events);
  return engine;
}

std::string counted(int n, char const* one) { return fmt::format("{} {}{}", n, one, n == 1 ? "" : "s"); }

std::string iso_time() {
  std::time_t const now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

RunMetadata metadata(Job const& job) {
  RunMetadata run;
  run.version = version();
  run.commit = commit();
  run.command_line = job.command_line;
  run.started = iso_time();
  for (BuildFact const& fact : build_facts()) run.libraries.push_back({fact.name, fact.value});
  run.options = option_attributes(job.options);
  run.model = model_attributes(job.model->config(), job.model->parameters());
  run.kv_capacity_bytes = job.sizing.slots * shards::slot_cost(page_layout(job.options, job.model->config()));
  run.most_events = static_cast<std::size_t>(job.options.trace_events);
  run.deadline_s = job.options.deadline_s;
  return run;
}

constexpr comm::Rank not_shown = -1;   // Progress shows on rank 0 alone

/// Progress and trace of a running engine.
class Watcher {
 public:
  Watcher(Job& job, comm::FaultyWorld* faulty)
      : job_{job}, faulty_{faulty}, progress_{spdlog::should_log(spdlog::level::info) ? job.world.rank() : not_shown} {
    if (!job.options.trace.empty()) trace_ = std::make_unique<TraceWriter>(job.world, job.options.trace, metadata(job));
  }

  EngineHooks hooks(Engine*& engine) {
    EngineHooks hooks;
    if (faulty_ != nullptr) hooks.before_step = [this](shards::Step step) { faulty_->set_step(step); };
    hooks.control_slot = [this, &engine](shards::Step step, auto const& states) { control_slot(step, states, *engine); };
    if (trace_) hooks.after_step = [this, &engine](StepRecord const& row, shards::Store&) { after_step(row, *engine); };
    return hooks;
  }

  void close(Engine& engine) {
    progress_.finish(last_);
    if (!trace_) return;
    add_requests(engine);
    add_faults(engine.recorder().steps());
    add_events(engine);
    trace_->close();
  }

 private:
  void control_slot(shards::Step step, std::vector<ControlState> const& states, Engine& engine) {
    last_ = {};
    last_.requests = static_cast<std::int64_t>(job_.requests.size());
    for (ControlState const& state : states) {
      last_.requests_done += static_cast<std::int64_t>(state.requests_done);
      last_.tokens += static_cast<std::int64_t>(state.tokens_generated);
    }
    double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
    last_.tokens_per_second = seconds > 0 ? static_cast<double>(last_.tokens) / seconds : 0;
    progress_.show(last_);
    if (!trace_ || step == 0 || step % trace_batch_steps != 0) return;
    add_faults(step);
    add_events(engine);
    trace_->write_batch();
  }

  void sample_pages(shards::Step step, Engine& engine) {
    if (step % (trace_batch_steps / 4) != 0) return;
    auto const pages = engine.store().owner().pages_by_home();
    for (std::size_t home = 0; home < pages.size(); ++home)
      if (pages[home] > 0) trace_->add(PagesByOwner{step, job_.world.rank(), static_cast<std::int32_t>(home), pages[home]});
  }

  void after_step(StepRecord const& row, Engine& engine) {
    trace_->add(row);
    sample_pages(row.step, engine);
    add_requests(engine);
  }

  void add_requests(Engine& engine) {
    for (; requests_written_ < engine.results().size(); ++requests_written_) {
      Result const& result = engine.results()[requests_written_];
      trace_->add(request_record(job_.requests[static_cast<std::size_t>(result.index)].id, result));
    }
  }

  void add_events(Engine& engine) {
    trace_->add(engine.store().events().rows());
    engine.store().arena().events().clear();
  }

  void add_faults(shards::Step step) {
    if (faulty_ == nullptr) return;
    trace_->add(fault_record(step, job_.world.rank(), faulty_->fault_counts(), faults_written_));
    faults_written_ = faulty_->fault_counts();
  }

  Job& job_;
  comm::FaultyWorld* faulty_;   // null without a fault plan
  comm::FaultCounts faults_written_;
  Progress progress_;
  std::unique_ptr<TraceWriter> trace_;
  ProgressState last_;
  std::size_t requests_written_ = 0;
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

void print_text(Job const& job, std::vector<Result> const& results) {
  for (Result const& result : results) {
    Request const& request = job.requests[static_cast<std::size_t>(result.index)];
    if (result.finish == Finish::error) continue;
    std::cout << (job.tokenizer ? text_of(request, result, *job.tokenizer) : fmt::format("{}", fmt::join(result.tokens, " "))) << '\n';
  }
}

void write_outputs(Job const& job, RunSummary const& summary, std::vector<Result> const& results) {
  GenerateOptions const& options = job.options;
  if (options.output.empty()) {
    print_text(job, results);
  } else {
    OutputFile file{options.output, "--output"};
    for (Result const& result : results)
      file.write(output_line(job.requests[static_cast<std::size_t>(result.index)], result, job.tokenizer.get()) + "\n");
    file.commit();
  }
  auto const codec = shards::make_codec(options.codec);
  auto const report = make_report({version(), job.command_line, summary, results, job.model->config(), job.model->parameters(), options.codec,
                                   codec->stated_ratio(page_layout(options, job.model->config()))});
  if (!options.report.empty()) {
    OutputFile file{options.report, "--report"};
    file.write(report_text(report));
    file.commit();
  }
  if (spdlog::should_log(spdlog::level::info)) std::cerr << summary_text(report);
}

// Collective. Request by request, so that no rank holds more than its own and one of another's.
void write_logits(Job const& job, std::vector<Result> const& mine) {
  GenerateOptions const& options = job.options;
  std::unique_ptr<LogitsFile> file;
  agree(job.world, options.deadline_s, [&] {
    if (job.world.rank() == 0) file = std::make_unique<LogitsFile>(options.logits, job.model->config().vocab);
  });
  for (Request const& request : job.requests) {
    Result const whole = gather_logits(job.world, mine, request.index, patience * options.deadline_s);
    if (file && !whole.tokens.empty()) file->write(whole);
  }
  agree(job.world, patience * options.deadline_s, [&] {
    if (file) file->commit();
  });
}

// The exit code, and one sentence if requests ended in an error.
int judge(Job const& job, std::vector<Result> const& results) {
  auto const failed = std::count_if(results.begin(), results.end(), [](Result const& r) { return r.finish == Finish::error; });
  if (failed == 0) return 0;
  auto const first = std::find_if(results.begin(), results.end(), [](Result const& r) { return r.finish == Finish::error; });
  say_error(fmt::format("{} of {} requests ended in an error; the first, '{}': {}", failed, results.size(),
                        job.requests[static_cast<std::size_t>(first->index)].id, first->error));
  return 1;
}

}  // namespace

int threads_per_rank(GenerateOptions const& options, comm::World& world) {
  int const sharing = comm::ranks_on_these_cores(world, world.in(options.deadline_s));
  if (options.threads > 0) return options.threads;
  if (std::getenv("OMP_NUM_THREADS") != nullptr) return omp_get_max_threads();
  return std::max(1, comm::usable_cores() / sharing);
}

// Ranks may be reached in different ways: each way is said once, with the first rank that has it.
void say_transport(comm::World& world, GenerateOptions const& options) {
  std::string const mine = world.data_path();
  auto const paths = world.all_gather(std::as_bytes(std::span{mine}), world.in(options.deadline_s));
  if (world.rank() != 0 || world.size() == 1) return;
  bool const chosen = options.transport == "auto" && !world.in_process();
  spdlog::info("transport: {}{}", mine, chosen ? fmt::format(" (auto: {})", comm::transports().at("auto").sentence) : "");
  for (auto path = paths.begin(); path != paths.end(); ++path)
    if (std::find(paths.begin(), path, *path) == path && path != paths.begin())
      spdlog::info("transport of rank {}: {}", path - paths.begin(), std::string_view{reinterpret_cast<char const*>(path->data()), path->size()});
}

int run_generate(comm::World& inner, GenerateOptions const& options, std::string const& command_line) {
  std::unique_ptr<comm::FaultyWorld> faulty;
  if (!options.fault_plan.empty())
    agree(inner, options.deadline_s, [&] { faulty = make_faulty_world(inner, comm::parse_fault_plan(read_text(options.fault_plan, "--fault-plan"))); });
  comm::World& world = faulty ? *faulty : inner;
  omp_set_num_threads(threads_per_rank(options, world));
  Job job{world, options, command_line, {}, {}, {}, {}, {}};
  agree(world, patience * options.deadline_s, [&] {
    Doing const doing{"reading the model"};
    if (world.rank() == 0) check_output_paths(options);
    job.model_dir = options.model.empty() ? embedded_model_dir() : std::filesystem::path{options.model};
    job.model = Model::load(job.model_dir, world.rank(), world.size());
    job.tokenizer = make_tokenizer(job.model_dir, job.model->config());
  });
  read_prompts_of(job);
  size_job(job);
  say_transport(world, options);
  if (world.rank() == 0)
    spdlog::info("{} on {}, {} each; {}", counted(world.size(), "rank"), counted(world.hosts(), "host"), counted(omp_get_max_threads(), "thread"), job.sizing.sentence);
  if (world.rank() == 0 && !job.sizing.warning.empty()) spdlog::warn("{}", job.sizing.warning);

  std::vector<Request const*> mine;
  for (Request const& request : job.requests)
    if (request.index % world.size() == world.rank()) mine.push_back(&request);
  Watcher watcher{job, faulty.get()};
  Engine* running = nullptr;
  Engine engine{world, *job.model, job.tokenizer.get(), engine_options(job), mine, watcher.hooks(running)};
  running = &engine;
  engine.run();
  watcher.close(engine);

  RunSummary const summary = gather_summary(world, engine.recorder(), faulty ? &faulty->fault_counts() : nullptr, options.deadline_s);
  std::vector<Result> const results = gather_results(world, engine.results(), options.deadline_s);
  std::int64_t code = 0;
  agree(world, patience * options.deadline_s, [&] {
    if (world.rank() != 0) return;
    Doing const doing{"writing the outputs"};
    try {
      write_outputs(job, summary, results);
    } catch (InputError const& error) {   // a place that was good when the job began
      throw RunError(error.what());
    }
    code = judge(job, results);
  });
  if (!options.logits.empty()) write_logits(job, engine.results());
  auto const codes = world.all_gather(std::as_bytes(std::span{&code, 1}), world.in(options.deadline_s));
  return static_cast<int>(comm::MessageReader{codes[0]}.value<std::int64_t>());
}

}  // namespace pikv::runtime
