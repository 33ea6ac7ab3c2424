#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "comm/transports.hpp"
#include "kernels/dtype.hpp"
#include "runtime/given.hpp"
#include "runtime/sampler.hpp"
#include "runtime/scheduling/selections.hpp"
#include "shards/store_options.hpp"

namespace pikv::runtime {

using shards::Move;
enum class StoreMode { sharded, local };

/// 4 MiB of rows.
inline constexpr std::int64_t default_trace_events = 1 << 16;
/// The half-life of loads in methods 1.6: long enough that a plan sees what lasts, and a short job is never rearranged.
inline constexpr std::int64_t default_rebalance_steps = 512;

/// `pikv generate`, parsed and checked (interface.md). Empty string or 0: not given.
struct GenerateOptions {
  std::string model;                        // folder; empty: the embedded one
  std::string prompts, prompt_format = "auto";
  bool has_prompt = false;
  std::string prompt;
  std::int32_t max_new_tokens = 64;
  SamplingOptions sampling;
  std::int32_t batch = 8;                   // running sequences per rank
  std::int32_t page_tokens = 32;
  std::int32_t prefill_chunk = 256;
  kernels::DType kv_dtype = kernels::DType::bf16;
  std::uint64_t kv_budget = 0;              // bytes per rank, everything included; 0: what is free
  std::string home = "mod";
  std::int32_t kv_experts = 0;              // 0: design.md 2
  StoreMode store = StoreMode::sharded;
  std::int64_t tier_host = -1;              // bytes per rank of the host tier; -1: what is free beside the arena
  std::string tier_dir;                     // of the file tier; empty: shards::default_tier_folder()
  Move move = Move::automatic;
  std::string attention = "exact";          // exact, routed, certified
  std::string router = "topk";
  std::int32_t experts = 0, read_pages = 0; // read per query; 0: all
  double max_error = 0;                     // of certified attention
  double keep = 1, redundancy = 0;          // of the scheduler
  std::int32_t pin_window = 64;             // newest tokens that are never evicted nor left out
  std::string codec = "none", codec_k, codec_v;   // codec_k, codec_v empty: as codec says
  std::string cold_codec;                   // of pages that are cold; empty: none, or as codec says after '>'
  std::int64_t cold_after = 0;              // tokens behind a stream's end; 0: not given
  std::string calibration;                  // file
  std::int32_t exact_window = 0;            // newest tokens whose full pages stay uncompressed
  std::string scheduler = "none", transport = "auto", fault_plan;
  std::optional<Selection> selection;       // the stage of the codec that selects tokens
  std::uint64_t scrub = shards::default_scrub_bytes;   // bytes per step and rank; 0: off
  comm::ProgressThread progress;            // --progress-thread
  std::string nccl = "auto";                // auto, off, pages
  int in_process = 0;                       // ranks as threads of this process; 0: off
  std::uint64_t schedule_seed = 1;          // --schedule-seed, in process
  bool reproducible = false;
  bool fidelity = false;                    // --fidelity: what attention lost, beside exact attention
  std::string output, logits, trace, report;
  std::string checkpoint;                   // folder
  std::int64_t checkpoint_every = 1000;     // steps; 0: only when the job is stopped
  std::string resume;                       // a checkpoint or its folder
  double time_limit_s = 0, time_margin_s = 60;
  std::int64_t trace_events = default_trace_events;   // page events kept between two batches of the trace, per rank; 0: none
  int active_ranks = 0;                     // that store pages from the start; 0: all
  std::string rank_plan;                    // file
  std::int64_t rebalance_steps = default_rebalance_steps;   // between two looks at the loads; 0: never
  std::uint64_t migration_bytes = 0;        // per rank and step; 0: shards::default_migration_bytes
  double skew = 0, arrivals = 0;            // workloads for tests; 0: as hashed, as the prompts say
  double deadline_s = 30;
  int threads = 0;                          // --threads per rank; 0: cores of the host / ranks on it
  std::string log_level = "info";
  GivenOptions given;                       // what the user gave, by name
};

/// The rows of `pikv generate --help`.
std::vector<OptionSpec> generate_option_specs();

/// `args` is what follows `generate`, without --help. Throws InputError (given.hpp, units.hpp), also on an option that has no effect in
/// the chosen mode and on names that do not exist. Touches no file but the one --config names: every rank may call it. With --resume the
/// options of the checkpoint are still missing (checkpoint/resume.hpp): check_effects() then comes when they are known.
GenerateOptions parse_generate_options(std::span<std::string const> args);

/// The same from options that were read before.
GenerateOptions generate_options_from(GivenOptions given);

/// Whether an option that is given, by name, changes anything in the chosen mode.
bool has_effect(GenerateOptions const& options, std::string_view option);
/// Throws InputError if one of `which` has no effect in the chosen mode.
void check_effects(GenerateOptions const& options, GivenOptions const& which);

}  // namespace pikv::runtime
