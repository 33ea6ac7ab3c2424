#include "runtime/options.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <map>
#include <utility>

#include "comm/error.hpp"
#include "runtime/routing/routers.hpp"
#include "runtime/scheduling/schedulers.hpp"
#include "runtime/units.hpp"
#include "runtime/storage_choice.hpp"
#include "shards/codec.hpp"
#include "shards/homes.hpp"
#include "shards/names.hpp"

namespace pikv::runtime {
namespace {

using Options = GenerateOptions;

std::int32_t count(Given const& given, std::int32_t least, std::int32_t most) {
  return static_cast<std::int32_t>(whole_number(given, least, most));
}

template <typename Table>
typename Table::mapped_type const& choice(Given const& given, Table const& table) {
  if (auto const found = table.find(given.value); found != table.end()) return found->second;
  throw InputError(fmt::format("{} is not a choice of this build; choose one of: {}", given.said, shards::names_in(table)));
}

template <typename Table>
std::string name_in(Given const& given, Table const& table) {
  (void)choice(given, table);
  return given.value;
}

std::string file(Given const& given) {
  if (given.value.empty()) throw InputError(fmt::format("{} names no file; give a path", given.said));
  return given.value;
}

comm::ProgressThread progress_thread(Given const& given) {
  if (given.value == "on") return {.on = true};
  if (given.value == "off") return {.on = false};
  bool const number = !given.value.empty() && given.value.find_first_not_of("0123456789") == std::string::npos;
  if (!number) throw InputError(fmt::format("{} is neither on, off, nor the number of a core; choose one", given.said));
  int const cores = static_cast<int>(sysconf(_SC_NPROCESSORS_CONF));
  return {.on = true, .core = count(given, 0, cores - 1)};
}

std::int32_t power_of_two(Given const& given, std::int32_t most) {
  auto const value = count(given, 1, most);
  if (!std::has_single_bit(static_cast<std::uint32_t>(value)))
    throw InputError(fmt::format("{} is not a power of two (pages are addressed by shifting); try 16 or 32", given.said));
  return value;
}

std::map<std::string_view, kernels::DType> const dtypes{
    {"f32", kernels::DType::f32}, {"bf16", kernels::DType::bf16}, {"f16", kernels::DType::f16}};
std::map<std::string_view, StoreMode> const stores{{"sharded", StoreMode::sharded}, {"local", StoreMode::local}};
std::map<std::string_view, Move> const moves{{"query", Move::query}, {"page", Move::page}, {"auto", Move::automatic}};
std::map<std::string_view, bool> const nccl_choices{{"auto", true}, {"off", true}, {"pages", true}};
std::map<std::string_view, bool> const prompt_formats{{"auto", true}, {"jsonl", true}, {"text", true}};
std::map<std::string_view, bool> const attentions{{"exact", true}, {"routed", true}, {"certified", true}};
std::map<std::string_view, bool> const log_levels{{"error", true}, {"warning", true}, {"info", true}, {"debug", true}};

struct Row {
  char const* name;
  char const* value;     // placeholder; empty: a flag
  char const* initial;   // the default, for --help
  char const* help;
  void (*set)(Options&, Given const&);
};

// clang-format off
Row const rows[] = {
    {"model", "DIR", "the embedded tiny MoE", "checkpoint folder in the layout of Hugging Face", [](Options& o, Given const& g) { o.model = file(g); }},
    {"prompts", "FILE", "the sample prompts", "JSON lines or plain text, one prompt a line; - is stdin", [](Options& o, Given const& g) { o.prompts = file(g); }},
    {"prompt-format", "jsonl|text|auto", "auto", "form of --prompts; auto: jsonl if the name ends so or the first character is {", [](Options& o, Given const& g) { o.prompt_format = name_in(g, prompt_formats); }},
    {"prompt", "TEXT", "", "one prompt", [](Options& o, Given const& g) { o.has_prompt = true, o.prompt = g.value; }},
    {"max-new-tokens", "N", "64", "tokens to generate for prompts that do not say", [](Options& o, Given const& g) { o.max_new_tokens = count(g, 1, 1 << 30); }},
    {"temperature", "X", "0", "sampling temperature; 0 is greedy", [](Options& o, Given const& g) { o.sampling.temperature = static_cast<float>(real_number(g, 0, 1000)); }},
    {"top-k", "N", "0", "sample from the N likeliest tokens; 0: from all", [](Options& o, Given const& g) { o.sampling.top_k = count(g, 0, 1 << 30); }},
    {"top-p", "X", "1", "sample from the likeliest tokens that hold this share of the probability", [](Options& o, Given const& g) { o.sampling.top_p = static_cast<float>(real_number(g, 1e-6, 1)); }},
    {"seed", "N", "0", "of the sampler's random numbers, of --arrivals and of --skew", [](Options& o, Given const& g) { o.sampling.seed = seed_number(g); }},
    {"batch", "N", "8", "running sequences per rank", [](Options& o, Given const& g) { o.batch = count(g, 1, 4096); }},
    {"page-tokens", "N", "32", "tokens of a page, a power of two", [](Options& o, Given const& g) { o.page_tokens = power_of_two(g, 4096); }},
    {"prefill-chunk", "N", "256", "rows a rank may bring to a step", [](Options& o, Given const& g) { o.prefill_chunk = count(g, 1, 1 << 16); }},
    {"kv-dtype", "f32|bf16|f16", "bf16", "type of uncompressed pages", [](Options& o, Given const& g) { o.kv_dtype = choice(g, dtypes); }},
    {"kv-budget", "SIZE", "what is free, said at start", "KV bytes per rank, everything included", [](Options& o, Given const& g) { o.kv_budget = size_bytes(g); }},
    {"attention", "exact|routed|certified", "exact", "what a generated token's queries read: every page; those a router chooses; all but what provably weighs less than --max-error", [](Options& o, Given const& g) { o.attention = name_in(g, attentions); }},
    {"router", "NAME", "topk", "chooses the KV experts that are read; `pikv list routers`", [](Options& o, Given const& g) { o.router = name_in(g, routers()); }},
    {"experts", "N", "all of them", "KV experts a query reads", [](Options& o, Given const& g) { o.experts = count(g, 1, 1 << 16); }},
    {"read-pages", "N", "all of them", "pages a query reads in a layer, pinned ones included: those whose keys may fit it best", [](Options& o, Given const& g) { o.read_pages = count(g, 1, 1 << 30); }},
    {"max-error", "X", "", "share of its attention that a head may skip in certified attention", [](Options& o, Given const& g) { o.max_error = real_number(g, 1e-9, 1); }},
    {"home", "NAME", "mod; content with --experts", "how a page gets its KV expert; `pikv list homes`", [](Options& o, Given const& g) { o.home = name_in(g, shards::home_policies()); }},
    {"kv-experts", "N", "64; home router: the model's", "groups of pages that are placed together, and read together by routed attention", [](Options& o, Given const& g) { o.kv_experts = count(g, 1, 1 << 16); }},
    {"scheduler", "NAME", "none", "which tokens are kept; `pikv list schedulers`", [](Options& o, Given const& g) { o.scheduler = name_in(g, schedulers()); }},
    {"keep", "SHARE", "1", "of each stream's tokens that the scheduler keeps (quest: reads; flexgen: keeps in the fast tier), per layer, mean over KV heads, pinned ones included", [](Options& o, Given const& g) { o.keep = real_number(g, 1e-6, 1); }},
    {"redundancy", "X", "0", "how much less a page counts that resembles one that stays, when several are evicted; 0 to 1", [](Options& o, Given const& g) { o.redundancy = real_number(g, 0, 1); }},
    {"pin-window", "N", "64", "newest tokens that are always kept and read; so are a stream's first page and the one being filled", [](Options& o, Given const& g) { o.pin_window = count(g, 0, 1 << 30); }},
    {"codec", "NAME", "none", "how full pages are stored, but for a stream's first: names joined by +, as svd:32+int8; a / between what keys and what values get; `pikv list codecs`", [](Options& o, Given const& g) { (void)parse_codec_pair(codec_levels(g.value, g.said).warm, g.said), o.codec = g.value; }},
    {"codec-k", "NAME", "as --codec", "how keys are", [](Options& o, Given const& g) { o.codec_k = shards::parse_codec(g.value, g.said).text; }},
    {"codec-v", "NAME", "as --codec", "how values are", [](Options& o, Given const& g) { o.codec_v = shards::parse_codec(g.value, g.said).text; }},
    {"calibration", "FILE", "", "what `pikv calibrate` wrote of this model: bases for svd, lora, lora_plus, prune and distill, weights for keys of mixed, errors for auto", [](Options& o, Given const& g) { o.calibration = file(g); }},
    {"exact-window", "N", "0", "newest tokens that stay uncompressed even where their page is full", [](Options& o, Given const& g) { o.exact_window = count(g, 0, 1 << 30); }},
    {"cold-codec", "NAME", "", "how pages are stored once they are cold: smaller than --codec says; they are recoded where they are", [](Options& o, Given const& g) { (void)parse_codec_pair(g.value, g.said), o.cold_codec = g.value; }},
    {"cold-after", "TOKENS", "", "a page is cold once all its tokens lie so many or more behind its stream's end", [](Options& o, Given const& g) { o.cold_after = whole_number(g, 1, 1 << 30); }},
    {"store", "sharded|local", "sharded", "pages spread over the ranks, or each at its home", [](Options& o, Given const& g) { o.store = choice(g, stores); }},
    {"tier-host", "SIZE", "what is free beside the KV budget", "host memory per rank for pages that --scheduler flexgen moves out of the fast tier; what does not fit goes to a file; 0: all does", [](Options& o, Given const& g) { o.tier_host = g.value == "0" ? 0 : static_cast<std::int64_t>(size_bytes(g)); }},
    {"tier-dir", "DIR", "TMPDIR, or /tmp", "folder of that file, which has no name in it and is gone when the job is", [](Options& o, Given const& g) { o.tier_dir = file(g); }},
    {"move", "query|page|auto", "auto", "ship the query to the page, fetch the page, or decide by cost", [](Options& o, Given const& g) { o.move = choice(g, moves); }},
    {"transport", "NAME", "auto", "what carries pages and messages; `pikv list transports`",
     [](Options& o, Given const& g) { o.transport = name_in(g, comm::transports()); }},
    {"progress-thread", "on|off|CORE", "on", "UCX's progress beside computation: once a millisecond, not at all, or all the time on that core",
     [](Options& o, Given const& g) { o.progress = progress_thread(g); }},
    {"nccl", "auto|off|pages", "auto", "exchanges over NCCL where every rank has a GPU of its own; off: the transport carries them there too; pages: NCCL also puts pages into GPUs that reach one another", [](Options& o, Given const& g) { o.nccl = name_in(g, nccl_choices); }},
    {"fault-plan", "FILE", "", "JSON with probabilities per operation, for tests", [](Options& o, Given const& g) { o.fault_plan = file(g); }},
    {"scrub", "SIZE", "16KiB", "stored pages that each step verifies in the background, bytes per rank; 0: none", [](Options& o, Given const& g) { o.scrub = g.value == "0" ? 0 : size_bytes(g); }},
    {"active-ranks", "N", "all of them", "ranks that store pages from the start, the first N; all decode", [](Options& o, Given const& g) { o.active_ranks = count(g, 1, 1 << 16); }},
    {"rank-plan", "FILE", "", "JSON list of steps in which ranks stop (drain) or begin (join) to store pages", [](Options& o, Given const& g) { o.rank_plan = file(g); }},
    {"rebalance-steps", "N", "512", "steps between two looks at the ranks' loads, after which pages may move; 0: never", [](Options& o, Given const& g) { o.rebalance_steps = count(g, 0, 1 << 30); }},
    {"migration-bytes", "SIZE", "1MiB, or one page", "most that a rank pushes in a step to move stored pages", [](Options& o, Given const& g) { o.migration_bytes = size_bytes(g); }},
    {"skew", "X", "0", "a workload for tests: pages fall on placement's buckets by Zipf's law of this exponent; 0: evenly", [](Options& o, Given const& g) { o.skew = real_number(g, 0, 4); }},
    {"arrivals", "RATE", "0", "requests per second: random arrivals for prompts without arrival_s; 0: at once", [](Options& o, Given const& g) { o.arrivals = real_number(g, 0, 1e9); }},
    {"in-process", "N", "off", "N ranks inside this process, virtual time; not with mpirun", [](Options& o, Given const& g) { o.in_process = count(g, 1, 256); }},
    {"schedule-seed", "N", "1", "of the order in which ranks in process run", [](Options& o, Given const& g) { o.schedule_seed = seed_number(g); }},
    {"reproducible", "", "off", "decide from counts instead of clocks", [](Options& o, Given const& g) { o.reproducible = flag(g); }},
    {"fidelity", "", "off", "also computes exact attention over an fp32 copy of the cache, and reports what was lost", [](Options& o, Given const& g) { o.fidelity = flag(g); }},
    {"output", "FILE", "text to stdout", "JSON lines, one per request, in input order", [](Options& o, Given const& g) { o.output = file(g); }},
    {"logits", "FILE", "", "HDF5, logits of each generated token", [](Options& o, Given const& g) { o.logits = file(g); }},
    {"trace", "FILE", "", "HDF5 trace of the run", [](Options& o, Given const& g) { o.trace = file(g); }},
    {"trace-events", "N", "65536", "page events that a rank keeps between two batches of the trace; 0: none",
     [](Options& o, Given const& g) { o.trace_events = whole_number(g, 0, 1 << 24); }},
    {"report", "FILE", "", "JSON summary of the run", [](Options& o, Given const& g) { o.report = file(g); }},
    {"checkpoint", "DIR", "", "saves the job into this folder, which is made; SIGTERM or SIGUSR1 then stops it with code 75; the last two are kept", [](Options& o, Given const& g) { o.checkpoint = file(g); }},
    {"checkpoint-every", "N", "1000", "steps between two checkpoints; 0: only when the job is stopped", [](Options& o, Given const& g) { o.checkpoint_every = whole_number(g, 0, std::int64_t{1} << 40); }},
    {"resume", "PATH", "", "goes on from a checkpoint, or the newest of a folder: prompts and options come from it", [](Options& o, Given const& g) { o.resume = file(g); }},
    {"time-limit", "TIME", "", "stops the job with a checkpoint this long after its start, less --time-margin", [](Options& o, Given const& g) { o.time_limit_s = seconds(g); }},
    {"time-margin", "TIME", "60s", "what a checkpoint may take at the end of --time-limit", [](Options& o, Given const& g) { o.time_margin_s = seconds(g); }},
    {"deadline", "TIME", "30s", "longest wait before the job ends", [](Options& o, Given const& g) { o.deadline_s = seconds(g); }},
    {"config", "FILE", "", "INI file with options, name = value", [](Options&, Given const&) {}},
    {"threads", "N", "cores of the host / ranks on it", "threads per rank", [](Options& o, Given const& g) { o.threads = count(g, 1, 1024); }},
    {"log-level", "error|warning|info|debug", "info", "what is logged to stderr", [](Options& o, Given const& g) { o.log_level = name_in(g, log_levels); }},
};
// clang-format on

struct EffectRow {
  char const* name;
  bool (*has_effect)(Options const&);
  char const* otherwise;
};
bool samples(Options const& o) { return o.sampling.temperature > 0; }
bool shards_pages(Options const& o) { return o.store == StoreMode::sharded; }
bool in_process(Options const& o) { return o.in_process > 0; }
constexpr char const* greedy = "at temperature 0, which is greedy; add --temperature";
bool checkpoints(Options const& o) { return !o.checkpoint.empty(); }
constexpr char const* not_saved = "where nothing is saved; add --checkpoint DIR";
bool routes(Options const& o) { return o.attention == "routed"; }
constexpr char const* unrouted = "where no router chooses; add --attention routed";
bool evicts(Options const& o) { return o.selection || schedulers().at(o.scheduler).kind == SchedulerKind::retention; }
bool places(Options const& o) { return schedulers().at(o.scheduler).kind == SchedulerKind::placement; }
constexpr char const* one_tier = "where no page leaves the fast tier; add --scheduler flexgen";
constexpr char const* local = "where every page stays at its home; leave it out, or choose --store sharded";

EffectRow const effects[] = {
    {"prompt", [](Options const& o) { return o.prompts.empty(); }, "next to --prompts; keep one of the two"},
    {"prompt-format", [](Options const& o) { return !o.prompts.empty(); }, "without a prompt file; add --prompts FILE"},
    {"top-k", samples, greedy},
    {"top-p", samples, greedy},
    {"seed", [](Options const& o) { return samples(o) || o.skew > 0 || o.arrivals > 0 || o.router == "rl"; }, greedy},
    {"home", [](Options const& o) { return shards_pages(o) || routes(o); }, local},
    {"kv-experts", [](Options const& o) { return shards_pages(o) || routes(o); }, local},
    {"attention", [](Options const& o) { return !routes(o) || o.experts > 0 || o.read_pages > 0; }, "unless told how little to read; add --experts N or --read-pages N"},
    {"router", [](Options const& o) { return routes(o) && o.experts > 0; }, "where no expert is left out; add --attention routed --experts N"},
    {"experts", routes, unrouted},
    {"read-pages", routes, unrouted},
    {"max-error", [](Options const& o) { return o.attention == "certified"; }, "where nothing is certified; add --attention certified"},
    {"keep", [](Options const& o) { return o.scheduler != "none"; }, "without a scheduler; add --scheduler NAME"},
    {"redundancy", evicts, "where nothing is evicted; add --scheduler NAME of one that evicts"},
    {"calibration", [](Options const& o) { return storage_choice(o).wants_calibration(); }, "without a codec that needs a calibration; add --codec svd or mixed"},
    {"exact-window", [](Options const& o) { return storage_choice(o).codes(); }, "where no page is compressed; add --codec NAME"},
    {"cold-codec", [](Options const& o) { return storage_choice(o).codes(); }, "where no page is compressed; add --codec NAME"},
    {"cold-after", [](Options const& o) { return storage_choice(o).cold.has_value(); }, "without a codec of cold pages; add --cold-codec NAME"},
    {"pin-window", [](Options const& o) { return o.attention != "exact" || o.selection || o.scheduler != "none"; }, "where everything is kept and read; add --scheduler NAME"},
    {"move", shards_pages, local},
    {"tier-host", places, one_tier},
    {"tier-dir", places, one_tier},
    {"active-ranks", shards_pages, local},
    {"rank-plan", shards_pages, local},
    {"rebalance-steps", shards_pages, local},
    {"migration-bytes", shards_pages, local},
    {"skew", shards_pages, local},
    {"transport", [](Options const& o) { return !in_process(o); }, "inside one process; leave it out, or leave out --in-process"},
    {"progress-thread", [](Options const& o) { return o.transport != "mpi" && !in_process(o); }, "where UCX carries nothing; leave it out"},
    {"nccl", [](Options const& o) { return !in_process(o); }, "inside one process; leave it out, or leave out --in-process"},
    {"checkpoint-every", checkpoints, not_saved},
    {"time-limit", checkpoints, not_saved},
    {"time-margin", [](Options const& o) { return o.time_limit_s > 0; }, "without a time limit; add --time-limit TIME"},
    {"logits", [](Options const& o) { return !checkpoints(o) && o.resume.empty(); }, "with --checkpoint or --resume, since a checkpoint does not hold them; leave it out"},
    {"fidelity", [](Options const& o) { return !checkpoints(o) && o.resume.empty(); }, "with --checkpoint or --resume, since a checkpoint does not hold the exact copy; leave it out"},
    {"trace-events", [](Options const& o) { return !o.trace.empty(); }, "without a trace; add --trace FILE"},
    {"schedule-seed", in_process, "over real processes; add --in-process N"},
};

/// Of policies, what a checkpoint does not hold; empty if it holds everything.
std::string not_saved_of(Options const& o) {
  bool const routed = routes(o) && o.experts > 0;
  if (places(o)) return fmt::format("the tiers of --scheduler {}", o.scheduler);
  if (routed && routers().at(o.router).remembers) return fmt::format("what --router {} has learned from all streams of a home", o.router);
  if (routed && evicts(o)) return "which experts a home has read of late, by which --attention routed weighs what is evicted";
  if (routed && o.home == "router") return "the model's gate over pages that are being filled, which --home router counts";
  return {};
}

void check_cold(Options const& options, StorageChoice const& storage) {
  if (!storage.cold || !options.resume.empty()) return;   // a job that goes on has the options of its beginning
  std::string const said = "the cold codec " + storage.cold->text;
  if (storage.automatic) throw InputError(fmt::format("--codec auto chooses what fits a budget as a whole, {} included; name the codec", said));
  if (!storage.codes()) throw InputError(fmt::format("{} is for pages that --codec has made smaller before; add --codec NAME of one", said));
  if (storage.cold->after == 0) throw InputError(fmt::format("{} does not say when a page is cold; add --cold-after TOKENS", said));
  if (places(options))
    throw InputError(fmt::format("--scheduler {} moves pages between tiers, where none is recoded; leave out {}, or choose another scheduler", options.scheduler, said));
  if (storage.cold->after < options.exact_window)
    throw InputError(fmt::format("pages are cold {} tokens behind their stream's end, where --exact-window {} keeps them uncompressed; raise --cold-after to {} or more", storage.cold->after,
                                 options.exact_window, options.exact_window));
}

void check_policies(Options const& options) {
  bool const chooses = options.attention != "exact";
  if (options.attention == "certified" && options.max_error == 0)
    throw InputError("--attention certified needs the share of attention that may be skipped; add --max-error 0.01");
  if (chooses && schedulers().at(options.scheduler).kind == SchedulerKind::selection)
    throw InputError(fmt::format("--scheduler {} chooses what is read, and so does --attention {}; leave one of them out", options.scheduler, options.attention));
  if (options.selection && options.scheduler != "none")
    throw InputError(fmt::format("--codec {} and --scheduler {} both choose which tokens are kept; leave one of them out", options.selection->name, options.scheduler));
  if (places(options) && shards_pages(options))
    throw InputError(fmt::format("--scheduler {} moves pages between the tiers of their home, where sharded pages do not stay; add --store local", options.scheduler));
  StorageChoice const storage = storage_choice(options);
  if (storage.wants_calibration() && options.calibration.empty())
    throw InputError(fmt::format("the codec {} needs a calibration of the model; make one with `pikv calibrate` and add --calibration FILE",
                                 storage.calibrated()));
  check_cold(options, storage);
  if (storage.automatic && options.kv_budget == 0) throw InputError("--codec auto chooses what fits a budget; add --kv-budget SIZE");
  if (storage.automatic && (!options.checkpoint.empty() || !options.resume.empty()))
    throw InputError("--codec auto chooses by what a job is to hold, which is another when it goes on; name the codec, or leave out --checkpoint and --resume");
  if (auto const missing = not_saved_of(options); !missing.empty() && (!options.checkpoint.empty() || !options.resume.empty()))
    throw InputError(fmt::format("a checkpoint does not hold {}; leave out --checkpoint and --resume, or choose another", missing));
}

}  // namespace

std::vector<OptionSpec> generate_option_specs() {
  std::vector<OptionSpec> specs;
  for (auto const& row : rows) specs.push_back({row.name, row.value, row.initial, row.help});
  return specs;
}

GenerateOptions parse_generate_options(std::span<std::string const> args) {
  GenerateOptions options = generate_options_from(read_given("generate", generate_option_specs(), args));
  if (options.resume.empty()) check_effects(options, options.given);
  return options;
}

GenerateOptions generate_options_from(GivenOptions given) {
  GenerateOptions options;
  for (auto const& row : rows)
    if (auto const found = given.find(row.name); found != given.end()) row.set(options, found->second);
  if (options.time_limit_s > 0 && options.time_limit_s <= options.time_margin_s)
    throw InputError(fmt::format("--time-limit of {} s leaves no time before the --time-margin of {} s; raise the one or lower the other", options.time_limit_s,
                                 options.time_margin_s));
  // Under a hash, few experts hold few of the keys that matter (docs/policies.md): only content homes make routing worth while.
  if (!given.contains("home") && options.attention == "routed" && options.experts > 0) options.home = "content";
  if (auto const stage = storage_choice(options).selection) options.selection = make_selection(*stage);
  check_policies(options);
  options.given = std::move(given);
  return options;
}

bool has_effect(GenerateOptions const& options, std::string_view option) {
  return std::ranges::all_of(effects, [&](EffectRow const& row) { return row.name != option || row.has_effect(options); });
}

void check_effects(GenerateOptions const& options, GivenOptions const& which) {
  for (auto const& row : effects)
    if (auto const found = which.find(row.name); found != which.end() && !row.has_effect(options))
      throw InputError(fmt::format("{} has no effect {}", found->second.said, row.otherwise));
}

}  // namespace pikv::runtime
