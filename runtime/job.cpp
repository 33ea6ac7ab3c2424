#include "runtime/job.hpp"

#include <fmt/format.h>
#include <omp.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>

#include "comm/cores.hpp"
#include "comm/error.hpp"
#include "comm/faults.hpp"
#include "runtime/agree.hpp"
#include "runtime/arrivals.hpp"
#include "runtime/attributes.hpp"
#include "runtime/build_info.hpp"
#include "runtime/checkpoint/resume.hpp"
#include "runtime/checkpoint/saver.hpp"
#include "runtime/engine.hpp"
#include "runtime/fidelity/fidelity.hpp"
#include "runtime/gather.hpp"
#include "runtime/log.hpp"
#include "runtime/logits_file.hpp"
#include "runtime/model/tokenizer.hpp"
#include "runtime/output_file.hpp"
#include "runtime/output_paths.hpp"
#include "runtime/prompts.hpp"
#include "runtime/report.hpp"
#include "runtime/setup.hpp"
#include "runtime/sizing.hpp"
#include "runtime/storage_choice.hpp"
#include "runtime/summary.hpp"
#include "runtime/watcher.hpp"

namespace pikv::runtime {

namespace {

void read_prompts_of(Job& job) {
  GenerateOptions const& options = job.options;
  PromptContext const context{job.model->config(), job.tokenizer.get(), options.max_new_tokens,
                              job.tokenizer ? "" : why_no_tokenizer(job.model_dir)};
  if (options.has_prompt) {
    agree(job.world, options.deadline_s, [&] { job.requests = prompt_from_text(options.prompt, context); });
    return;
  }
  std::string const path = options.prompts.empty() ? sample_prompts_file().string() : options.prompts;
  std::istringstream text{text_of_file(job.world, options, path, "--prompts")};
  agree(job.world, options.deadline_s,
        [&] { job.requests = read_prompts(text, path == "-" ? "stdin" : path, prompt_format(options.prompt_format), context); });
  if (options.arrivals > 0) draw_arrivals(job.requests, options.arrivals, options.sampling.seed);
}

RunMetadata metadata(Job const& job) {
  RunMetadata run;
  run.version = version();
  run.commit = commit();
  run.command_line = job.command_line;
  run.started = iso_time();
  run.resumed_from = job.resumed_from;
  for (BuildFact const& fact : build_facts()) run.libraries.push_back({fact.name, fact.value});
  run.options = option_attributes(job.options);
  run.model = model_attributes(job.model->config(), job.model->parameters());
  run.kv_capacity_bytes = job.sizing.arena_bytes;
  run.most_events = static_cast<std::size_t>(job.options.trace_events);
  run.deadline_s = job.options.deadline_s;
  return run;
}

void print_text(Job const& job, std::vector<Result> const& results) {
  for (Result const& result : results) {
    Request const& request = job.requests[static_cast<std::size_t>(result.index)];
    if (result.finish == Finish::error) continue;
    std::cout << (job.tokenizer ? text_of(request, result, *job.tokenizer) : fmt::format("{}", fmt::join(result.tokens, " "))) << '\n';
  }
}

std::string codec_name(GenerateOptions const& options) {
  if (options.codec_k.empty() && options.codec_v.empty()) return codec_levels(options.codec, "--codec").warm;
  StorageChoice const choice = storage_choice(options);
  return choice.k.text + "/" + choice.v.text;
}

// Of what is kept, and how it is stored.
double stated_ratio(Job const& job, shards::Level level) {
  auto const& selection = job.options.selection;
  double const share = selection ? selections().at(selection->name).share(selection->parameter, job.model->config().layers) : 1;
  return share * (job.codecs ? job.codecs->stated_ratio(level) : 1);
}

void write_outputs(Job const& job, RunSummary const& summary, std::vector<Result> const& results, std::optional<Fidelity> const& fidelity) {
  GenerateOptions const& options = job.options;
  if (options.output.empty()) {
    print_text(job, results);
  } else {
    OutputFile file{options.output, "--output"};
    for (Result const& result : results)
      file.write(output_line(job.requests[static_cast<std::size_t>(result.index)], result, job.tokenizer.get()) + "\n");
    file.commit();
  }
  auto const cold = storage_choice(options).cold;
  auto report = make_report({.version = version(),
                             .command = job.command_line,
                             .summary = summary,
                             .results = results,
                             .model = job.model->config(),
                             .parameters = job.model->parameters(),
                             .codec = codec_name(options),
                             .codec_stated_ratio = stated_ratio(job, shards::Level::warm),
                             .cold_codec = cold ? cold->text : "",
                             .cold_after = cold ? cold->after : 0,
                             .cold_stated_ratio = stated_ratio(job, shards::Level::cold),
                             .resumed_from = job.resumed_from,
                             .generated_before = job.generated_before});
  if (fidelity) report["fidelity"] = fidelity_json(*fidelity);
  if (!options.report.empty()) {
    OutputFile file{options.report, "--report"};
    file.write(report_text(report));
    file.commit();
  }
  if (spdlog::should_log(spdlog::level::info)) std::cerr << summary_text(report) << (fidelity ? fidelity_table(*fidelity) : "");
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

comm::FaultPlan fault_plan_in(std::string const& file) {
  auto const text = read_text(file, "--fault-plan");
  try {
    return comm::parse_fault_plan(text);
  } catch (InputError const& error) {
    throw InputError(fmt::format("--fault-plan={}: {}", file, error.what()));
  }
}

void say_start(Job const& job, std::string const& device, Resumed const* resumed) {
  comm::World const& world = job.world;
  spdlog::info("{} on {}, {} each; {}", counted(world.size(), "rank"), counted(world.hosts(), "host"), counted(omp_get_max_threads(), "thread"), job.sizing.sentence);
  if (!job.sizing.warning.empty()) spdlog::warn("{}", job.sizing.warning);
  if (!device.empty()) spdlog::info("{}", device);
  if (resumed == nullptr) return;
  auto const in_phase = [&](Phase phase) { return std::ranges::count(resumed->requests, phase, &SavedRequest::phase); };
  spdlog::info("goes on from {}: {} requests done, {} running, {} waiting; {} pages, all verified", job.resumed_from, in_phase(Phase::done),
               in_phase(Phase::running), in_phase(Phase::waiting), resumed->pages.checkpoint().pages().size());
}

}  // namespace

// Ranks may be reached in different ways: each way is said once, with the first rank that has it. Nothing where rank 0's is what was said before.
void say_transport(comm::World& world, GenerateOptions const& options, std::string_view said_before = {}) {
  std::string const mine = world.data_path();
  auto const of_all = [&](std::string_view text) { return world.all_gather(std::as_bytes(std::span{text}), world.in(options.deadline_s)); };
  auto const paths = of_all(mine), before = of_all(said_before);
  if (world.rank() != 0 || world.size() == 1 || paths == before) return;
  bool const chosen = options.transport == "auto" && !world.in_process();
  spdlog::info("transport: {}{}", mine, chosen ? fmt::format(" (auto: {})", comm::transports().at("auto").sentence) : "");
  for (auto path = paths.begin(); path != paths.end(); ++path)
    if (std::find(paths.begin(), path, *path) == path && path != paths.begin())
      spdlog::info("transport of rank {}: {}", path - paths.begin(), std::string_view{reinterpret_cast<char const*>(path->data()), path->size()});
}

// Collective. Says so once where copies between hosts and GPUs are slower than they could be.
void say_unpinned(Job const& job) {
  if (job.device == nullptr) return;   // on no rank
  std::uint64_t const bytes = job.device->unpinned_bytes();
  std::string mine;
  if (bytes > 0)
    mine = fmt::format("up to {} KiB of host memory at a time could not be pinned, so copies between it and the GPU are slower; leave more of the host's memory free",
                       (bytes + 1023) / 1024);
  auto const first = job.world.first_trouble(mine, job.world.in(job.options.deadline_s));
  if (first && job.world.rank() == 0) spdlog::warn("rank {}: {}", first->rank, first->text);
}

int run_generate(comm::World& inner, GenerateOptions const& given, std::string const& command_line, MakeDevice make) {
  if (!given.checkpoint.empty() || !given.resume.empty()) catch_stop_signals();   // what comes while the model is read is heard in the first step
  std::unique_ptr<Continuation> continued;
  if (!given.resume.empty()) continued = std::make_unique<Continuation>(inner, given);
  GenerateOptions options = given;
  if (continued) agree(inner, given.deadline_s, [&] { options = resumed_options(given, continued->checkpoint().facts(), continued->name()); });

  std::unique_ptr<comm::FaultyWorld> faulty;
  if (!options.fault_plan.empty())
    agree(inner, options.deadline_s, [&] { faulty = make_faulty_world(inner, fault_plan_in(options.fault_plan)); });
  comm::World& world = faulty ? *faulty : inner;
  omp_set_num_threads(threads_per_rank(options, world));
  Job job{world, options, command_line, {}, {}, {}, {}, {}, continued ? continued->name() : "", 0, {}};
  agree(world, patience * options.deadline_s, [&] {
    Doing const doing{"reading the model"};
    if (world.rank() == 0) check_output_paths(options);
    load_model(job);
  });
  std::optional<Resumed> resumed;
  if (continued) {
    load_codecs(job);
    continued->verify(world, *job.model, options, job.codecs.get());
    resumed.emplace(Resumed{continued->checkpoint().requests(), continued->pages()});
    for (SavedRequest const& saved : resumed->requests) {
      job.requests.push_back(saved.request);
      job.generated_before += saved.result.tokens.size();
    }
  } else {
    read_prompts_of(job);
  }
  read_rank_plan(job);
  if (!continued) load_codecs(job);
  DeviceChoice choice = choose_device(world, make, page_layout(options, job.model->config()), options.deadline_s);
  job.device = std::move(choice.device);
  size_job(job);
  say_transport(world, options);
  if (world.rank() == 0) say_start(job, choice.sentence, resumed ? &*resumed : nullptr);

  std::unique_ptr<Saver> saver;
  if (!options.checkpoint.empty()) saver = std::make_unique<Saver>(world, options, continued ? continued->checkpoint().path() : "");
  std::vector<Request const*> mine;
  for (Request const& request : job.requests)
    if (request.index % world.size() == world.rank()) mine.push_back(&request);
  Watcher watcher{world, job.requests, options.trace, metadata(job), faulty.get()};
  EngineOptions engine_settings = engine_options(job);
  if (resumed) {
    engine_settings.first_step = continued->checkpoint().facts().step;
    engine_settings.first_clock_s = continued->checkpoint().facts().clock_s;
    engine_settings.resumed = &*resumed;
  }
  Engine* running = nullptr;
  EngineHooks hooks;
  if (faulty) hooks.before_step = [&](shards::Step step) { watcher.before_step(step); };
  hooks.control_slot = [&](shards::Step step, auto const& states) {
    watcher.control_slot(step, states, *running);
    if (saver && !all_idle(states))
      saver->control_slot(step, *running, running->store(), job.requests, resumed ? &resumed->pages : nullptr, *job.model);
  };
  if (!options.trace.empty()) hooks.after_step = [&](StepRecord const& row, shards::Store&) { watcher.after_step(row, *running); };
  hooks.plan = [&](PlanRows const& rows) { watcher.planned(rows); };
  if (saver) hooks.stop = [&] { return saver->wants_to_stop(); };
  std::string const way_without_pages = world.data_path();
  Engine engine{world, *job.model, job.tokenizer.get(), engine_settings, mine, hooks};
  say_transport(world, options, way_without_pages);   // of pages in a GPU's memory the way is known now
  running = &engine;
  std::optional<Shadow> shadow;
  if (options.fidelity) engine.watch(&shadow.emplace(engine.store()));
  engine.run();
  say_unpinned(job);
  watcher.close(engine, engine.stopped() ? "stopped: " + to_string(*engine.stopped()) : "finished");
  if (engine.stopped()) {
    if (world.rank() == 0)
      spdlog::warn("stopped ({}) after a complete checkpoint; go on with --resume {}", to_string(*engine.stopped()), options.checkpoint);
    world.barrier(world.in(options.deadline_s));   // so that nobody's code ends the others before it is said
    return stopped_code;
  }

  RunSummary const summary = gather_summary(world, engine.recorder(), faulty ? &faulty->fault_counts() : nullptr, options.deadline_s);
  std::vector<Result> const results = gather_results(world, engine.results(), options.deadline_s);
  std::optional<Fidelity> fidelity;
  if (shadow) {
    fidelity = gather_fidelity(world, {}, LogitComparison{{}}, shadow->fidelity(), options.deadline_s);
    set_byte_ratios(*fidelity, options, job.model->config());
  }
  std::int64_t code = 0;
  agree(world, patience * options.deadline_s, [&] {
    if (world.rank() != 0) return;
    Doing const doing{"writing the outputs"};
    try {
      write_outputs(job, summary, results, fidelity);
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
