#include "runtime/calibration/calibrate.hpp"

#include <fmt/format.h>
#include <omp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <optional>

#include "comm/checksum.hpp"
#include "comm/error.hpp"
#include "runtime/agree.hpp"
#include "runtime/calibration/calibration_file.hpp"
#include "runtime/calibration/calibration_probe.hpp"
#include "runtime/calibration/error_table.hpp"
#include "runtime/calibration/fit_heads.hpp"
#include "runtime/calibration/make_maps.hpp"
#include "runtime/device_choice.hpp"
#include "runtime/fidelity/task.hpp"
#include "runtime/model/embedded.hpp"
#include "runtime/output_file.hpp"
#include "runtime/setup.hpp"

namespace pikv::runtime {
namespace {

constexpr std::size_t fewest_windows = 5;   // one of them held out
constexpr std::int64_t enough_tokens_a_channel = 64, enough_sequences = 32;   // methods 3.0

TextIds ids_of(Job const& job, std::string const& path, std::string const& text) {
  if (path.ends_with(".jsonl") || text.starts_with("{")) return read_ids(text, "--text=" + path, job.model->config().vocab, job.model->config().bos);
  if (!job.tokenizer)
    throw InputError("this model's tokenizer is not supported here (" + why_no_tokenizer(job.model_dir) + "); give --text the prompt_ids that jobs/tokenize.py makes of the text");
  return {job.tokenizer->encode(text), job.tokenizer->bos()};
}

std::vector<Request> windows_of(Job const& job, CalibrateOptions const& options, TextIds const& text) {
  std::vector<std::int32_t> const& ids = text.ids;
  if (std::int32_t const most = job.model->config().max_positions; options.window >= most)
    throw InputError(fmt::format("--window={} leaves no room in the model's {} positions; give less", options.window, most));
  std::size_t const window = static_cast<std::size_t>(options.window);
  std::size_t const count = std::min(ids.size(), static_cast<std::size_t>(options.tokens)) / window;
  if (count < fewest_windows)
    throw InputError(fmt::format("{} tokens make {} windows of {}, and calibration needs {}, one of them to measure on; give a longer --text, more --tokens or a smaller --window",
                                 std::min(ids.size(), static_cast<std::size_t>(options.tokens)), count, window, fewest_windows));
  std::vector<Request> requests(count);
  for (std::size_t i = 0; i < count; ++i) {
    requests[i].index = static_cast<std::int64_t>(i);
    requests[i].id = fmt::format("window {}", i);
    requests[i].max_new_tokens = 1;
    auto const begin = ids.begin() + static_cast<std::ptrdiff_t>(i * window);
    if (text.bos >= 0) requests[i].prompt.push_back(text.bos);
    requests[i].prompt.insert(requests[i].prompt.end(), begin, begin + static_cast<std::ptrdiff_t>(window));
  }
  return requests;
}

std::string hash_of(std::vector<Request> const& requests) {
  std::vector<std::int32_t> ids;
  for (Request const& request : requests) ids.insert(ids.end(), request.prompt.begin(), request.prompt.end());
  return fmt::format("{:016x}", comm::checksum(std::as_bytes(std::span{ids})));
}

void run_windows(Job& job, CalibrationProbe& probe) {
  std::vector<Request const*> mine;
  for (Request const& request : job.requests)
    if (request.index % job.world.size() == job.world.rank()) mine.push_back(&request);
  Engine engine{job.world, *job.model, nullptr, engine_options(job), mine, {}};
  engine.watch(&probe);
  engine.run();
  agree(job.world, job.options.deadline_s, [&] {
    for (Result const& result : engine.results())
      if (result.finish == Finish::error) throw RunError(job.requests[static_cast<std::size_t>(result.index)].id + ": " + result.error);
  });
}

void say_what_is_scarce(CalibrationFacts const& facts) {
  if (facts.tokens < enough_tokens_a_channel * facts.head_dim || facts.windows < enough_sequences)
    spdlog::warn("{} tokens of {} sequences are few; {} of {} and more would make bases that hold for other text", facts.tokens, facts.windows,
                 enough_tokens_a_channel * facts.head_dim, enough_sequences);
}

std::vector<std::int32_t> distill_ranks(CalibrateOptions const& options, ModelConfig const& config) {
  std::vector<std::int32_t> ranks = options.distill.value_or(std::vector{config.head_dim / 4, config.head_dim / 2});
  for (std::int32_t& rank : ranks) {
    if (rank > config.head_dim)
      throw InputError(fmt::format("--distill asks for rank {}, and heads have {} numbers; give less", rank, config.head_dim));
    rank = (rank + 7) / 8 * 8;
  }
  std::ranges::sort(ranks);
  ranks.erase(std::ranges::unique(ranks).begin(), ranks.end());
  return ranks;
}

CalibrationFacts facts_of(Job const& job, CalibrateOptions const& options, CalibrationProbe& probe) {
  ModelConfig const& config = job.model->config();
  return {.architecture = config.architecture,
          .layers = config.layers,
          .q_heads = config.q_heads,
          .kv_heads = config.kv_heads,
          .head_dim = config.head_dim,
          .fingerprint = job.model->fingerprint(),
          .tokens = probe.calibration().tokens(),
          .held_out_tokens = probe.held_out().tokens(),
          .windows = static_cast<std::int32_t>(job.requests.size()),
          .window = options.window,
          .text = hash_of(job.requests)};
}

}   // namespace

CalibrationData calibrated(comm::World& world, CalibrateOptions const& options, std::string const& command_line) {
  Job job{world, options.cache, command_line, {}, {}, {}, {}, {}, "", 0, {}};
  say_gpus_unused(world);
  double const deadline_s = patience * options.cache.deadline_s;
  agree(world, deadline_s, [&] { load_model(job); });
  read_rank_plan(job);
  std::string const path = options.text.empty() ? held_out_file().string() : options.text;
  std::string const text = text_of_file(world, options.cache, path, "--text");
  std::vector<std::int32_t> ranks;
  agree(world, options.cache.deadline_s, [&] {
    ranks = distill_ranks(options, job.model->config());
    job.requests = windows_of(job, options, ids_of(job, path, text));
  });
  size_job(job);
  if (world.rank() == 0) spdlog::info("calibrating on {} windows of {} tokens", job.requests.size(), options.window);
  CalibrationProbe probe{job.model->config(), static_cast<std::int64_t>(job.requests.size()), options.window};
  run_windows(job, probe);
  probe.calibration().reduce(world, options.cache.deadline_s);
  probe.held_out().reduce(world, options.cache.deadline_s);
  CalibrationData data;
  agree(world, deadline_s, [&] {
    data.facts = facts_of(job, options, probe);
    if (world.rank() == 0) say_what_is_scarce(data.facts);
    make_maps(*job.model, probe.calibration(), probe.held_out(), data);
  });
  fit_heads(world, deadline_s, ranks, probe.samples(), data);
  return data;
}

int run_calibrate(comm::World& world, CalibrateOptions const& options, std::string const& command_line) {
  omp_set_num_threads(threads_per_rank(options.cache, world));
  agree(world, options.cache.deadline_s, [&] {
    std::error_code ignored;
    if (world.rank() != 0) return;
    open_part(options.output, "--output");
    std::filesystem::remove(part_of(options.output), ignored);
  });
  CalibrationData data = calibrated(world, options, command_line);
  agree(world, patience * options.cache.deadline_s, [&] {
    if (world.rank() != 0) return;
    write_calibration(options.output, data, command_line);
    std::cout << error_table(Calibration{std::move(data)}) << std::flush;
  });
  return 0;
}

}   // namespace pikv::runtime
