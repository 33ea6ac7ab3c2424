#pragma once

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "comm/inprocess_world.hpp"
#include "runtime/job.hpp"
#include "runtime/options.hpp"

namespace pikv::test {

namespace fs = std::filesystem;
using runtime::GenerateOptions;

/// A folder of this test alone, removed at its end.
class Folder {
 public:
  Folder() {
    static int made = 0;
    path_ = fs::temp_directory_path() / ("pikv-restore-" + std::to_string(::getpid()) + "-" + std::to_string(made++));
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  fs::path operator/(std::string const& name) const { return path_ / name; }

 private:
  fs::path path_;
};

using Tokens = std::map<std::string, std::pair<std::vector<std::int32_t>, std::string>>;   // by id: tokens, finish

inline Tokens tokens_in(fs::path const& output) {
  Tokens tokens;
  std::ifstream lines{output};
  for (std::string line; std::getline(lines, line);) {
    auto const json = nlohmann::json::parse(line);
    tokens[json["id"]] = {json["tokens"].get<std::vector<std::int32_t>>(), json["finish"]};
  }
  return tokens;
}

/// Prompts of 1 to 300 tokens; with a small batch some still wait when the job is saved.
inline fs::path write_prompts(Folder const& folder, std::size_t more_tokens = 0) {
  fs::path const path = folder / "prompts.jsonl";
  std::ofstream out{path};
  std::vector<std::size_t> const lengths{300, 1, 33, 64, 150, 7, 96};
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    std::string text;
    while (text.size() < lengths[i]) text += "It was a bright cold day in April, and the clocks were striking. "[(text.size() + 11 * i) % 65];
    out << nlohmann::json{{"id", "r" + std::to_string(i)}, {"prompt", text}, {"max_new_tokens", 8 + 9 * i + more_tokens}, {"stop", {"zzz"}}}.dump() << "\n";
  }
  return path;
}

inline GenerateOptions options_with(runtime::GivenOptions given, int ranks, fs::path const& output) {
  given["output"] = {output.string(), "--output"};
  given["in-process"] = {std::to_string(ranks), "--in-process"};
  return runtime::generate_options_from(given);
}

/// Its exit code. With `make`, on devices with this memory.
inline int run(GenerateOptions const& options, runtime::MakeDevice make = nullptr, comm::DeviceMemory* memory = nullptr) {
  spdlog::set_level(spdlog::level::err);
  int code = -1;
  comm::run_inprocess({.ranks = options.in_process, .seed = options.schedule_seed, .device = memory}, [&](comm::World& world) {
    int const mine = runtime::run_generate(world, options, "test", make);
    if (world.rank() == 0) code = mine;
  });
  return code;
}

inline runtime::GivenOptions job_on(fs::path const& prompts, std::string const& batch) {
  return {{"prompts", {prompts.string(), ""}}, {"page-tokens", {"8", ""}}, {"prefill-chunk", {"64", ""}}, {"batch", {batch, ""}}, {"kv-dtype", {"bf16", ""}}};
}

inline runtime::GivenOptions saved_to(runtime::GivenOptions given, fs::path const& folder, int every) {
  given["checkpoint"] = {folder.string(), ""};
  given["checkpoint-every"] = {std::to_string(every), ""};
  return given;
}

}   // namespace pikv::test
