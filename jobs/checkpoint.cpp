#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "comm/error.hpp"
#include "jobs/command.hpp"
#include "runtime/apart.hpp"
#include "runtime/checkpoint/diff.hpp"
#include "runtime/checkpoint/files.hpp"
#include "runtime/checkpoint/show.hpp"
#include "runtime/checkpoint/verify.hpp"
#include "runtime/given.hpp"

namespace pikv::jobs {
namespace {

namespace fs = std::filesystem;
using Paths = std::vector<fs::path>;

void read_apart(fs::path const& path, comm::FunctionRef<void(runtime::CheckpointReader const&)> action) {
  runtime::run_apart_on(path, "--checkpoint", [&] { action(runtime::CheckpointReader{path}); });
}

void list_folder(fs::path const& folder, Paths& whole, Paths& parts) {
  auto const found = runtime::checkpoints_in(folder);
  auto const unfinished = runtime::unfinished_in(folder);
  if (found.empty() && unfinished.empty()) (void)runtime::checkpoint_at(folder);   // says that there is none
  whole.insert(whole.end(), found.begin(), found.end());
  parts.insert(parts.end(), unfinished.begin(), unfinished.end());
}

/// One that cannot be read does not hide the others: its sentence comes last.
void list(Paths const& paths) {
  Paths whole, parts;
  for (fs::path const& path : paths)
    if (fs::is_directory(path))
      list_folder(path, whole, parts);
    else
      whole.push_back(runtime::checkpoint_at(path));
  fmt::print("{}", runtime::list_heading());
  std::string trouble;
  for (fs::path const& path : whole) try {
      read_apart(path, [](auto const& checkpoint) { fmt::print("{}", runtime::list_line(checkpoint)); });
    } catch (RunError const& error) {
      fmt::print("{}", runtime::list_line(path, "cannot be read"));
      if (trouble.empty()) trouble = error.what();
    }
  for (fs::path const& part : parts) fmt::print("{}", runtime::list_line(part, "incomplete"));
  if (!trouble.empty()) throw RunError(trouble);
}

void print_verified(runtime::CheckpointReader const& checkpoint) {
  auto const found = runtime::verify_checkpoint(checkpoint);
  fmt::print(
      "{} holds: {} requests, {} rows of pages and their tables agree; {} pages of {} payload bytes have sound headers, keys, token counts and "
      "checksums\n",
      checkpoint.path().string(), checkpoint.requests().size(), checkpoint.pages().size(), found.pages, found.payload_bytes);
  if (found.left_out > 0) fmt::print("  {} rows have no page: it was not sound when the checkpoint was made\n", found.left_out);
  fmt::print("  a restore brings back {} of the {} tokens that running requests have in pages\n", found.restored, found.tokens);
  for (auto const& gap : found.gaps)
    fmt::print("  request {}: tokens {} to {} are computed again after a restore\n", gap.request, gap.restored, gap.length - 1);
}

void verify(Paths const& paths) {
  for (fs::path const& path : paths) read_apart(runtime::checkpoint_at(path), [](auto const& checkpoint) { print_verified(checkpoint); });
}

void show(Paths const& paths) {
  for (fs::path const& path : paths)
    read_apart(runtime::checkpoint_at(path), [](auto const& checkpoint) { fmt::print("{}", runtime::show_text(checkpoint)); });
}

void print_differences(runtime::CheckpointReader const& a, runtime::CheckpointReader const& b) {
  auto const diff = runtime::diff_checkpoints(a, b);
  for (std::string const& line : diff.lines) fmt::print("{}\n", line);
  if (diff.not_shown > 0) fmt::print("and {} more\n", diff.not_shown);
  for (std::string const& note : diff.notes) fmt::print("no difference for the result: {}\n", note);
  if (diff.equal())
    fmt::print("{}\n", runtime::summary_of(diff));
  else
    throw CheckError(fmt::format("{} and {} are not the same: {}", a.path().string(), b.path().string(), runtime::summary_of(diff)));
}

void diff(Paths const& paths) {
  if (paths.size() != 2)
    throw InputError(fmt::format("`pikv checkpoint diff` compares two checkpoints, not {}; write pikv checkpoint diff A B", paths.size()));
  auto const a = runtime::checkpoint_at(paths[0]), b = runtime::checkpoint_at(paths[1]);
  for (fs::path const& path : {a, b}) read_apart(path, [](auto const&) {});
  bool const first_is_larger = fs::file_size(a) > fs::file_size(b);
  runtime::run_apart_on(first_is_larger ? a : b, "--checkpoint",
                        [&] { print_differences(runtime::CheckpointReader{a}, runtime::CheckpointReader{b}); });
}

struct Verb {
  std::string_view name;
  void (*run)(Paths const& paths);
  char const* sentence;
};
Verb const verbs[] = {
    {"list", list, "a line per checkpoint of the folders, NAME.part of one that was not finished included"},
    {"verify", verify, "checks every page, and that the tables agree"},
    {"diff", diff, "A B: what a job that goes on would compute otherwise; where pages lay is no difference"},
    {"show", show, "the job, its options and model, its requests, where its pages lay"},
};

std::string verb_names() {
  std::vector<std::string_view> names;
  for (Verb const& verb : verbs) names.push_back(verb.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

void run(Arguments args) {
  if (args.empty()) throw InputError(fmt::format("`pikv checkpoint` needs to be told what to do; choose one of: {}", verb_names()));
  auto const* const verb = std::ranges::find(verbs, args[0], &Verb::name);
  if (verb == std::end(verbs)) throw InputError(fmt::format("'{}' is nothing that `pikv checkpoint` does; choose one of: {}", args[0], verb_names()));
  auto const option = std::ranges::find_if(args, [](std::string const& word) { return word.starts_with("--"); });
  if (option != args.end())
    throw InputError(fmt::format("{} is not an option of `pikv checkpoint`; it takes none, write pikv checkpoint {} PATH", *option, verb->name));
  if (args.size() < 2)
    throw InputError(fmt::format("`pikv checkpoint {0}` needs a checkpoint or its folder; write pikv checkpoint {0} PATH", verb->name));
  verb->run({args.begin() + 1, args.end()});
}

}   // namespace

int checkpoint(Arguments args) {
  return run_on_rank_0([&] { run(args); });
}

std::string checkpoint_help() {
  std::string text =
      "Usage: pikv checkpoint list|verify|diff|show PATH...\n\n"
      "PATH is a checkpoint, or the folder that --checkpoint of `pikv generate` was given: its newest (for list: all).\n\n";
  for (Verb const& verb : verbs) text += fmt::format("  {:<8} {}\n", verb.name, verb.sentence);
  return text + "\nExit codes: 0 done; 1 a checkpoint cannot be read; 2 a bad argument; 3 verify found what does not hold, diff a difference.\n";
}

}   // namespace pikv::jobs
