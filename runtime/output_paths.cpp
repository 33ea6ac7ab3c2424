#include "runtime/output_paths.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include "comm/error.hpp"
#include "runtime/output_file.hpp"

namespace pikv::runtime {

namespace {

// The file itself, whatever links lead there; as written where the way cannot be looked at (its opening will tell why).
std::filesystem::path whole_path(std::filesystem::path const& path) {
  std::error_code unreadable;
  auto const canonical = std::filesystem::weakly_canonical(path, unreadable);
  return unreadable ? std::filesystem::absolute(path).lexically_normal() : canonical;
}

}  // namespace

void check_output_paths(GenerateOptions const& options) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  std::map<fs::path, std::string> taken;   // canonical path -> the option that has it
  for (auto const& [name, input] : {std::pair{"--prompts", &options.prompts}, std::pair{"--fault-plan", &options.fault_plan}})
    if (!input->empty() && *input != "-") taken[whole_path(*input)] = fmt::format("{}={}", name, *input);

  std::pair<char const*, std::string const*> const outputs[] = {
      {"--output", &options.output}, {"--logits", &options.logits}, {"--trace", &options.trace}, {"--report", &options.report}};
  for (auto const& [name, output] : outputs)
    for (auto const& path : {fs::path{*output}, part_of(*output)}) {
      if (output->empty()) continue;
      auto const [at, is_new] = taken.try_emplace(whole_path(path), fmt::format("{}={}", name, *output));
      if (!is_new) throw InputError(fmt::format("{}={} is the same file as {}; give each its own", name, *output, at->second));
    }
  for (auto const& [name, output] : outputs) {
    if (output->empty()) continue;
    open_part(*output, name);
    fs::remove(part_of(*output), ignored);
  }
}

}  // namespace pikv::runtime
