#include "runtime/checkpoint/files.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>

#include "comm/error.hpp"

namespace pikv::runtime {

namespace fs = std::filesystem;

namespace {

/// step-, 12 digits, `ending`.
bool is_named(std::string_view name, std::string_view ending) {
  constexpr std::string_view beginning = "step-";
  constexpr std::size_t digits = 12;
  return name.size() == beginning.size() + digits + ending.size() && name.starts_with(beginning) && name.ends_with(ending) &&
         name.substr(beginning.size(), digits).find_first_not_of("0123456789") == std::string_view::npos;
}

std::vector<fs::path> files_in(fs::path const& folder, std::string_view ending) {
  std::vector<fs::path> found;
  std::error_code unreadable;
  for (fs::directory_iterator entry{folder, unreadable}; !unreadable && entry != fs::directory_iterator{}; entry.increment(unreadable))
    if (is_named(entry->path().filename().string(), ending)) found.push_back(entry->path());
  std::ranges::sort(found, std::greater{});
  return found;
}

}  // namespace

fs::path checkpoint_name(fs::path const& folder, std::int64_t step) { return folder / fmt::format("step-{:012}.h5", step); }

std::vector<fs::path> checkpoints_in(fs::path const& folder) {
  return files_in(folder, ".h5");
}

std::vector<fs::path> unfinished_in(fs::path const& folder) {
  return files_in(folder, ".h5.part");
}

fs::path checkpoint_at(fs::path const& path) {
  std::error_code unreadable;
  if (!fs::exists(path, unreadable)) throw RunError(path.string() + " does not exist; give a checkpoint, or the folder that --checkpoint was given");
  if (!fs::is_directory(path, unreadable)) return path;
  auto const found = checkpoints_in(path);
  if (found.empty()) throw RunError(path.string() + " holds no complete checkpoint (step-*.h5); give the folder that --checkpoint was given");
  return found.front();
}

void remove_future(fs::path const& newest, std::int64_t from) {
  auto const last = checkpoint_name(newest.parent_path(), from).filename();
  std::error_code ignored;
  for (fs::path const& path : checkpoints_in(newest.parent_path()))
    if (path.filename() > last && path.filename() != newest.filename()) fs::remove(path, ignored);
}

void remove_older(fs::path const& folder, fs::path const& spare) {
  auto const found = checkpoints_in(folder);
  std::error_code ignored;   // one file too many harms nobody
  for (std::size_t i = checkpoints_kept; i < found.size(); ++i)
    if (spare.empty() || !fs::equivalent(found[i], spare, ignored)) fs::remove(found[i], ignored);
  for (fs::path const& path : unfinished_in(folder)) fs::remove(path, ignored);
}

}  // namespace pikv::runtime
