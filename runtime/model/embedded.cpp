#include "runtime/model/embedded.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "comm/error.hpp"

namespace pikv::runtime {
namespace {

namespace fs = std::filesystem;

fs::path first_that_exists(std::vector<fs::path> const& places, std::string const& what, std::string const& remedy) {
  std::error_code ignored;
  std::vector<std::string> tried;
  for (auto const& place : places) {
    if (fs::exists(place, ignored)) return place.lexically_normal();
    tried.push_back(place.lexically_normal().string());
  }
  throw InputError(fmt::format("could not find {} (looked for {}); {}", what, fmt::join(tried, ", "), remedy));
}

std::vector<fs::path> data_folders() {
  if (char const* const given = std::getenv("PIKV_DATA")) return {given};
  std::error_code ignored;
  auto const program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  return {program / "../share/pikv", program / "../data", PIKV_SOURCE_DATA};
}

}   // namespace

fs::path embedded_model_dir() {
  std::vector<fs::path> places;
  for (auto const& folder : data_folders()) places.push_back(folder / "tiny-moe/config.json");
  if (char const* const given = std::getenv("PIKV_DATA")) places.push_back(fs::path{given} / "config.json");
  return first_that_exists(places, "the embedded model", "set PIKV_DATA to the folder that holds tiny-moe, or give --model DIR").parent_path();
}

namespace {

fs::path data_file(char const* name, std::string const& what, std::string const& option) {
  std::vector<fs::path> places;
  for (auto const& folder : data_folders()) places.push_back(folder / name);
  return first_that_exists(places, what, "set PIKV_DATA to the folder that holds it, or give " + option);
}

}   // namespace

fs::path sample_prompts_file() { return data_file("prompts.jsonl", "the sample prompts", "--prompts FILE"); }
fs::path held_out_file() { return data_file("held_out.txt", "the held-out text", "--text FILE"); }

}   // namespace pikv::runtime
