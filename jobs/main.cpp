#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <string>
#include <vector>

#include "comm/error.hpp"
#include "jobs/command.hpp"
#include "runtime/build_info.hpp"
#include "runtime/given.hpp"

namespace pikv::jobs {
namespace {

Command const commands[] = {
    {"analyze", "what a trace tells: time, loads, traffic, memory, what to change", analyze_help, analyze},
    {"calibrate", "bases, spectra and held-out errors of a model's keys and values, for codecs", calibrate_help, calibrate},
    {"checkpoint", "lists, verifies, compares and shows what --checkpoint of generate saved", checkpoint_help, checkpoint},
    {"evaluate", "what a cache setting loses against exact attention: text, needles", evaluate_help, evaluate},
    {"generate", "decodes prompts", generate_help, generate},
    {"list", "names that options take: routers, schedulers, codecs, homes, transports", list_help, list},
    {"model", "what a model folder holds, and whether it can run here", model_help, model},
    {"replay", "cache policies over a recorded or public request trace: hits by policy and capacity", replay_help, replay},
    {"sweep", "what `pikv evaluate` says for every combination of routers, schedulers, codecs and budgets", sweep_help, sweep},
};

std::string overview() {
  std::string text =
      "pikv keeps the KV cache of Mixture-of-Experts decoding on a cluster: alone, under mpirun or under srun.\n\n"
      "Usage: pikv COMMAND [OPTIONS], pikv COMMAND --help, pikv --version\n\n";
  for (auto const& command : commands) text += fmt::format("  {:<10} {}\n", command.name, command.sentence);
  return text;
}

std::string version_text() {
  std::string text = fmt::format("{:<13} {}\n{:<13} {}\n", "pikv", runtime::version(), "commit", runtime::commit());
  for (auto const& fact : runtime::build_facts()) text += fmt::format("{:<13} {}\n", fact.name, fact.value);
  return text;
}

int print(std::string const& text) {
  return run_on_rank_0([&] { fmt::print("{}", text); });
}

int refuse(std::string const& name) {
  std::vector<std::string> names;
  for (auto const& command : commands) names.emplace_back(command.name);
  return run_on_rank_0([&] {
    throw InputError(fmt::format("'{}' is not a sub-command{}; choose one of: {}", name, runtime::did_you_mean(name, names), fmt::join(names, ", ")));
  });
}

int dispatch(std::vector<std::string> const& words) {
  if (words.empty() || words[0] == "--help") return print(overview());
  if (words[0] == "--version") return print(version_text());
  auto const* const command = std::ranges::find(commands, words[0], &Command::name);
  if (command == std::end(commands)) return refuse(words[0]);
  if (std::ranges::find(words, "--help") != words.end()) return print(command->help());
  return command->run(Arguments{words}.subspan(1));
}

// Libraries read these when they are loaded, so making them takes a second start of this executable. What the user set stays.
// UCX: its own messages belong on stderr, since stdout holds the result and nothing else. OpenMP: threads spin for long at the end of each
// parallel loop; where a core is shared with anyone, another rank included, that costs a scheduler's time slice every time (100 times
// slower decode was measured), and a short spin keeps the speed of an idle machine.
void set_up_libraries(char** argv) {
  bool const spin_is_set = std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr;
  if (spin_is_set && std::getenv("UCX_LOG_FILE") != nullptr) return;
  if (!spin_is_set) setenv("GOMP_SPINCOUNT", "10000", 1);
  setenv("UCX_LOG_FILE", "stderr", 0);
  std::error_code unreadable;
  auto const self = std::filesystem::read_symlink("/proc/self/exe", unreadable);   // its own name stays what `ps` shows
  execv(self.c_str(), argv);   // comes back only if it failed: then UCX writes to stdout, and threads spin
}

}  // namespace
}  // namespace pikv::jobs

int main(int argc, char** argv) {
  if (argc > 0) pikv::jobs::set_up_libraries(argv);
  std::signal(SIGPIPE, SIG_IGN);   // a reader that leaves is an error of ours to say, not a silent death
  return pikv::jobs::dispatch({argv + std::min(argc, 1), argv + argc});
}
