#include "runtime/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "comm/error.hpp"
#include "runtime/storage_choice.hpp"
#include "runtime/units.hpp"

namespace pikv::runtime {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

GenerateOptions parse(std::vector<std::string> const& args) { return parse_generate_options(args); }

template <typename F>
std::string complaint(F&& action) {
  try {
    action();
  } catch (InputError const& error) {
    return error.what();
  }
  return "no complaint";
}

struct Variable {   // an environment variable for the length of a test
  Variable(std::string name, std::string const& value) : name_{std::move(name)} { setenv(name_.c_str(), value.c_str(), 1); }
  ~Variable() { unsetenv(name_.c_str()); }
  std::string name_;
};

struct Folder {   // an empty folder for the length of a test
  Folder() : path{fs::temp_directory_path() / ("options_test_" + std::to_string(getpid()))} { fs::create_directory(path); }
  ~Folder() { fs::remove_all(path); }
  std::string file(std::string const& name, std::string const& text) const {
    std::ofstream{path / name} << text;
    return path / name;
  }
  fs::path path;
};

TEST(Units, SizesAreBytes) {
  struct Case {
    char const* text;
    std::uint64_t bytes;
  };
  for (auto const& [text, bytes] : {Case{"1KiB", 1024}, Case{"3 MiB", 3145728}, Case{"2GiB", 2147483648}, Case{"5kB", 5000},
                                    Case{"7MB", 7000000}, Case{"1.5 GB", 1500000000}, Case{"0.5KiB", 512}, Case{".5MiB", 524288}})
    EXPECT_EQ(size_bytes({text, text}), bytes) << text;
}

TEST(Units, TimesAreSeconds) {
  struct Case {
    char const* text;
    double seconds;
  };
  for (auto const& [text, value] : {Case{"250us", 250e-6}, Case{"30 ms", 0.03}, Case{"1.5s", 1.5}, Case{"2min", 120}, Case{"1h", 3600}})
    EXPECT_DOUBLE_EQ(seconds({text, text}), value) << text;
}

TEST(Units, ABareNumberIsToldTheUnits) {
  EXPECT_THAT(complaint([] { (void)size_bytes({"100", "--kv-budget=100"}); }), HasSubstr("--kv-budget=100 has no unit; add one of KiB MiB GiB kB MB GB"));
  EXPECT_THAT(complaint([] { (void)seconds({"30", "--deadline=30"}); }), HasSubstr("--deadline=30 has no unit; add one of us ms s min h"));
}

TEST(Units, SizesAndTimesThatAreNoneAreRefused) {
  for (auto const* text : {"", "MiB", "-1MiB", "0MiB", "0.0001kB", "1e9 MiB", "nan", "inf", "1 mib", "1MiBs", "1.2.3GB", "0x10MiB", " 1MiB", "99999999999999999999GB"})
    EXPECT_THROW((void)size_bytes({text, text}), InputError) << text;
  for (auto const* text : {"", "s", "-1s", "0s", "nan", "inf", "1e3s", "5 sec", "5s ", "999999999h"})
    EXPECT_THROW((void)seconds({text, text}), InputError) << text;
}

TEST(Options, WithoutAnyTheDefaultsHold) {
  auto const options = parse({});
  EXPECT_EQ(options.max_new_tokens, 64);
  EXPECT_EQ(options.page_tokens, 32);
  EXPECT_EQ(options.deadline_s, 30);
  EXPECT_EQ(options.store, StoreMode::sharded);
  EXPECT_TRUE(options.given.empty());
}

TEST(Options, EachIsReadInBothSpellings) {
  auto const options = parse({"--model", "m", "--prompts=-", "--prompt-format", "text", "--max-new-tokens=5", "--temperature", "0.7", "--top-k=40", "--top-p", "0.9",
                              "--seed=18446744073709551615", "--batch", "3", "--page-tokens=16", "--prefill-chunk", "9", "--kv-dtype=f16", "--kv-budget", "3 MiB",
                              "--attention=exact", "--home", "round_robin", "--kv-experts=7", "--scheduler", "none", "--codec=none", "--store", "sharded",
                              "--move=page", "--fault-plan", "f", "--scrub=2MiB", "--in-process=4", "--schedule-seed", "11", "--reproducible", "--output", "o", "--logits=l",
                              "--trace", "t", "--trace-events=9", "--report=r", "--deadline", "2 min", "--threads=2", "--log-level", "debug"});
  EXPECT_EQ(options.model, "m");
  EXPECT_EQ(options.prompts, "-");
  EXPECT_EQ(options.prompt_format, "text");
  EXPECT_EQ(options.max_new_tokens, 5);
  EXPECT_FLOAT_EQ(options.sampling.temperature, 0.7f);
  EXPECT_EQ(options.sampling.top_k, 40);
  EXPECT_FLOAT_EQ(options.sampling.top_p, 0.9f);
  EXPECT_EQ(options.sampling.seed, UINT64_MAX);
  EXPECT_EQ(options.batch, 3);
  EXPECT_EQ(options.page_tokens, 16);
  EXPECT_EQ(options.prefill_chunk, 9);
  EXPECT_EQ(options.kv_dtype, kernels::DType::f16);
  EXPECT_EQ(options.kv_budget, 3145728u);
  EXPECT_EQ(options.home, "round_robin");
  EXPECT_EQ(options.kv_experts, 7);
  EXPECT_EQ(options.move, Move::page);
  EXPECT_EQ(options.fault_plan, "f");
  EXPECT_EQ(options.scrub, 2097152u);
  EXPECT_EQ(options.in_process, 4);
  EXPECT_EQ(options.schedule_seed, 11u);
  EXPECT_TRUE(options.reproducible);
  EXPECT_EQ(options.output, "o");
  EXPECT_EQ(options.logits, "l");
  EXPECT_EQ(options.trace, "t");
  EXPECT_EQ(options.trace_events, 9);
  EXPECT_EQ(options.report, "r");
  EXPECT_EQ(options.deadline_s, 120);
  EXPECT_EQ(options.threads, 2);
  EXPECT_EQ(options.log_level, "debug");
}

TEST(Options, AScrubOfNothingIsNone) {
  EXPECT_EQ(parse({"--scrub", "0"}).scrub, 0u);
  EXPECT_THAT(complaint([] { (void)parse({"--scrub", "100"}); }), HasSubstr("--scrub=100 has no unit"));
}

TEST(Options, CommandLineBeatsEnvironmentBeatsFile) {
  Folder const folder;
  auto const file = folder.file("run.ini", "# a comment\nbatch = 2\npage-tokens = 8\nmax-new-tokens = 5\nreproducible = true\n");
  Variable const page_tokens{"PIKV_PAGE_TOKENS", "16"};
  Variable const max_new_tokens{"PIKV_MAX_NEW_TOKENS", "6"};
  auto const options = parse({"--config", file, "--max-new-tokens", "7"});
  EXPECT_EQ(options.batch, 2);
  EXPECT_EQ(options.page_tokens, 16);
  EXPECT_EQ(options.max_new_tokens, 7);
  EXPECT_TRUE(options.reproducible);
}

TEST(Options, TheEnvironmentMayNameTheFile) {
  Folder const folder;
  Variable const config{"PIKV_CONFIG", folder.file("run.ini", "batch = 2\n")};
  EXPECT_EQ(parse({}).batch, 2);
}

TEST(Options, AFileThatCannotBeReadIsNamed) {
  Folder const folder;
  auto const complaint_about = [&](std::string const& text) {
    auto const file = folder.file("run.ini", text);
    return complaint([&] { (void)parse({"--config", file}); });
  };
  EXPECT_THAT(complaint([] { (void)parse({"--config", "no/such.ini"}); }), HasSubstr("no/such.ini cannot be read (no such file)"));
  EXPECT_THAT(complaint([&] { (void)parse({"--config", folder.path}); }), HasSubstr("not a readable file"));
  EXPECT_THAT(complaint_about("batc = 3\n"), HasSubstr("did you mean batch?"));
  EXPECT_THAT(complaint_about("batch = 3\nbatch = 4\n"), HasSubstr("batch=4 in"));
  EXPECT_THAT(complaint_about("batch 3\n"), HasSubstr("is not an INI file"));
  EXPECT_THAT(complaint_about("config = other.ini\n"), HasSubstr("is not an option"));
  EXPECT_THAT(complaint_about("batch = 3x\n"), HasSubstr("batch=3x in"));
}

TEST(Options, AMisspeltVariableIsFoundAndAStrangersIsLeftAlone) {
  {
    Variable const wrong{"PIKV_BATCHS", "3"};
    EXPECT_THAT(complaint([] { (void)parse({}); }), HasSubstr("PIKV_BATCHS in the environment is not an option (did you mean PIKV_BATCH?)"));
  }
  Variable const data{"PIKV_DATA", "/somewhere"};
  EXPECT_NO_THROW((void)parse({}));
}

struct BadArguments {
  std::vector<std::string> args;
  char const* says;
};

class BadArgumentsTest : public ::testing::TestWithParam<BadArguments> {};

TEST_P(BadArgumentsTest, AreRefusedInOneSentence) {
  auto const said = complaint([] { (void)parse(GetParam().args); });
  EXPECT_THAT(said, HasSubstr(GetParam().says));
  EXPECT_EQ(said.find('\n'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Options, BadArgumentsTest,
    ::testing::Values(
        BadArguments{{"--batc", "3"}, "--batc is not an option of `pikv generate` (did you mean --batch?)"},
        BadArguments{{"--router", "topk"}, "add --attention routed --experts N"}, BadArguments{{"--batch"}, "--batch needs a value"},
        BadArguments{{"--batch="}, "--batch needs a value"}, BadArguments{{"--report", "--trace", "t"}, "--report needs a value, but --trace follows"},
        BadArguments{{"--batch", "3", "--batch", "3"}, "--batch=3 repeats an option"}, BadArguments{{"batch"}, "'batch' stands alone"},
        BadArguments{{"-n", "3"}, "'-n' stands alone"}, BadArguments{{"--reproducible=1"}, "--reproducible takes no value"},
        BadArguments{{"--batch=3x"}, "--batch=3x is not a whole number from 1 to"}, BadArguments{{"--batch=0"}, "--batch=0 is not a whole number"},
        BadArguments{{"--batch", "-1"}, "--batch=-1 is not a whole number"}, BadArguments{{"--batch=1e3"}, "--batch=1e3 is not"},
        BadArguments{{"--batch=99999999999999999999"}, "is not a whole number"}, BadArguments{{"--seed=-1", "--temperature=1"}, "--seed=-1 is not"},
        BadArguments{{"--seed=18446744073709551616", "--temperature=1"}, "2^64 - 1"}, BadArguments{{"--temperature=nan"}, "--temperature=nan is not a number"},
        BadArguments{{"--temperature=inf"}, "is not a number"}, BadArguments{{"--temperature=-1"}, "is not a number from 0"},
        BadArguments{{"--top-p=0", "--temperature=1"}, "--top-p=0 is not a number"}, BadArguments{{"--top-p=1.1", "--temperature=1"}, "is not a number"},
        BadArguments{{"--page-tokens=24"}, "not a power of two"}, BadArguments{{"--kv-dtype=int8"}, "choose one of: bf16, f16, f32"},
        BadArguments{{"--kv-budget=100"}, "has no unit"}, BadArguments{{"--deadline=30"}, "has no unit"}, BadArguments{{"--home=nowhere"}, "choose one of: "},
        BadArguments{{"--scheduler=fifo"}, "choose one of: adakv, duo"}, BadArguments{{"--codec=zip"}, "choose of: auto"},
        BadArguments{{"--codec=int8", "--cold-codec=int4"}, "the cold codec int4 does not say when a page is cold; add --cold-after TOKENS"},
        BadArguments{{"--codec=int8", "--cold-after=9"}, "--cold-after=9 has no effect without a codec of cold pages; add --cold-codec NAME"},
        BadArguments{{"--cold-codec=int4", "--cold-after=9"}, "add --codec NAME"}, BadArguments{{"--codec=int8>int4"}, "write WARM>COLD@TOKENS"},
        BadArguments{{"--codec=int8>int4@0"}, "write WARM>COLD@TOKENS"},
        BadArguments{{"--codec=int8>@9"}, "write WARM>COLD@TOKENS"}, BadArguments{{"--codec=>int4@9"}, "write WARM>COLD@TOKENS"}, BadArguments{{"--codec=int8>zip@9"}, "--codec=int8>zip@9 is unknown"},
        BadArguments{{"--codec=int8>int4@9", "--cold-codec=int4"}, "leave out --cold-codec and --cold-after"},
        BadArguments{{"--codec=int8>int4@9", "--exact-window=10"}, "raise --cold-after to 10 or more"},
        BadArguments{{"--transport=tcp"}, "choose one of: auto, mpi"}, BadArguments{{"--progress-thread=x"}, "--progress-thread=x is neither on, off, nor"},
        BadArguments{{"--nccl=on"}, "choose one of: auto, off, pages"}, BadArguments{{"--nccl=off", "--in-process=2"}, "inside one process"},
        BadArguments{{"--progress-thread=99999"}, "is not a whole number from 0"}, BadArguments{{"--attention=sparse"}, "choose one of: certified, exact, routed"},
        BadArguments{{"--in-process=0"}, "is not a whole number"}, BadArguments{{"--output", ""}, "names no file"},
        BadArguments{{"--checkpoint-every=5"}, "--checkpoint-every=5 has no effect where nothing is saved; add --checkpoint DIR"},
        BadArguments{{"--checkpoint=d", "--time-margin=5s"}, "--time-margin=5s has no effect without a time limit; add --time-limit TIME"},
        BadArguments{{"--checkpoint=d", "--time-limit=30s"}, "--time-limit of 30 s leaves no time before the --time-margin of 60 s"},
        BadArguments{{"--checkpoint=d", "--logits=l"}, "--logits=l has no effect with --checkpoint or --resume"},
        BadArguments{{"--top-k=5"}, "--top-k=5 has no effect at temperature 0, which is greedy; add --temperature"},
        BadArguments{{"--top-p=0.5"}, "add --temperature"}, BadArguments{{"--seed=1"}, "add --temperature"},
        BadArguments{{"--store=local", "--move=page"}, "choose --store sharded"}, BadArguments{{"--store=local", "--home=mod"}, "choose --store sharded"},
        BadArguments{{"--schedule-seed=1"}, "add --in-process N"}, BadArguments{{"--in-process=2", "--transport=mpi"}, "leave out --in-process"},
        BadArguments{{"--transport=mpi", "--progress-thread=off"}, "where UCX carries nothing"},
        BadArguments{{"--scheduler=flexgen", "--keep=.3"}, "--scheduler flexgen moves pages between the tiers of their home, where sharded pages do not stay; add --store local"},
        BadArguments{{"--tier-host=1MiB"}, "--tier-host=1MiB has no effect where no page leaves the fast tier; add --scheduler flexgen"},
        BadArguments{{"--tier-dir=d", "--scheduler=lru"}, "--tier-dir=d has no effect"},
        BadArguments{{"--scheduler=flexgen", "--store=local", "--tier-host=1"}, "--tier-host=1 has no unit"},
        BadArguments{{"--trace-events=5"}, "has no effect without a trace; add --trace FILE"}, BadArguments{{"--trace=t", "--trace-events=-1"}, "is not a whole number"},
        BadArguments{{"--prompt=a", "--prompts=b"}, "keep one of the two"}, BadArguments{{"--prompt-format=text"}, "add --prompts FILE"}));

TEST(Options, ACodecOfColdPagesMayStandBehindTheOther) {
  auto const apart = storage_choice(generate_options_from({{"codec", {"int8", ""}}, {"cold-codec", {"int8/int4", ""}}, {"cold-after", {"512", ""}}}));
  auto const joined = storage_choice(generate_options_from({{"codec", {"int8>int8/int4@512", ""}}}));
  for (auto const& choice : {apart, joined}) {
    EXPECT_EQ(choice.k.text, "int8");
    ASSERT_TRUE(choice.cold);
    EXPECT_EQ(choice.cold->k.text, "int8");
    EXPECT_EQ(choice.cold->v.text, "int4");
    EXPECT_EQ(choice.cold->after, 512);
  }
  EXPECT_FALSE(storage_choice(generate_options_from({{"codec", {"int8", ""}}})).cold);
}

TEST(Options, TheDefaultsThatHelpShowsAreTheDefaults) {
  for (auto const& spec : generate_option_specs()) {
    bool const is_a_value = spec.initial.find(' ') == std::string::npos && spec.initial != "off" && !spec.initial.empty();
    if (!is_a_value) continue;
    auto const options = generate_options_from({{spec.name, {spec.initial, spec.name}}});
    GenerateOptions const defaults;
    EXPECT_EQ(options.max_new_tokens, defaults.max_new_tokens);
    EXPECT_EQ(options.sampling.top_k, defaults.sampling.top_k);
    EXPECT_EQ(options.sampling.top_p, defaults.sampling.top_p);
    EXPECT_EQ(options.sampling.seed, defaults.sampling.seed);
    EXPECT_EQ(options.batch, defaults.batch);
    EXPECT_EQ(options.page_tokens, defaults.page_tokens);
    EXPECT_EQ(options.prefill_chunk, defaults.prefill_chunk);
    EXPECT_EQ(options.kv_dtype, defaults.kv_dtype);
    EXPECT_EQ(options.home, defaults.home);
    EXPECT_EQ(options.store, defaults.store);
    EXPECT_EQ(options.move, defaults.move);
    EXPECT_EQ(options.codec, defaults.codec);
    EXPECT_EQ(options.scheduler, defaults.scheduler);
    EXPECT_EQ(options.transport, defaults.transport);
    EXPECT_EQ(options.deadline_s, defaults.deadline_s);
    EXPECT_EQ(options.log_level, defaults.log_level);
    EXPECT_EQ(options.scrub, defaults.scrub);
    EXPECT_EQ(options.prompt_format, defaults.prompt_format);
    EXPECT_EQ(options.schedule_seed, defaults.schedule_seed);
    EXPECT_EQ(options.checkpoint_every, defaults.checkpoint_every);
    EXPECT_EQ(options.time_margin_s, defaults.time_margin_s);
    EXPECT_EQ(options.trace_events, defaults.trace_events);
    EXPECT_EQ(options.rebalance_steps, defaults.rebalance_steps);
    EXPECT_EQ(options.skew, defaults.skew);
    EXPECT_EQ(options.arrivals, defaults.arrivals);
  }
}

}  // namespace
}  // namespace pikv::runtime
