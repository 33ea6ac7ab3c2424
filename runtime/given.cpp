#include "runtime/given.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>

#include "comm/error.hpp"

namespace po = boost::program_options;

namespace pikv::runtime {
namespace {

po::options_description describe(std::span<OptionSpec const> specs) {
  po::options_description all{120, 70};
  for (auto const& spec : specs) {
    auto* const value = po::value<std::string>()->value_name(spec.value);
    if (spec.value.empty()) value->zero_tokens();
    auto const help = spec.initial.empty() ? spec.help : fmt::format("{} (default: {})", spec.help, spec.initial);
    all.add_options()(spec.name.c_str(), value, help.c_str());
  }
  return all;
}

std::vector<std::string> names_of(std::span<OptionSpec const> specs) {
  std::vector<std::string> names;
  for (auto const& spec : specs) names.push_back(spec.name);
  return names;
}

std::string_view bare(std::string_view word) { return word.substr(std::min(word.find_first_not_of('-'), word.size())); }

constexpr std::string_view environment_prefix = "PIKV_";

std::string variable_of(std::string_view option) {
  std::string variable{option};
  for (char& c : variable) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return variable;
}

[[noreturn]] void explain(std::string_view command, std::span<OptionSpec const> specs, po::error const& problem) {
  if (auto const* unknown = dynamic_cast<po::unknown_option const*>(&problem)) {
    auto const name = unknown->get_option_name();
    throw InputError(fmt::format("{} is not an option of `pikv {}`{}; `pikv {} --help` lists them", name, command,
                                 did_you_mean(bare(name), names_of(specs), "--"), command));
  }
  if (auto const* syntax = dynamic_cast<po::invalid_command_line_syntax const*>(&problem)) {
    if (syntax->kind() == po::invalid_syntax::extra_parameter)
      throw InputError(fmt::format("{} takes no value; write it alone", syntax->get_option_name()));
    throw InputError(fmt::format("{} needs a value; `pikv {} --help` says which", syntax->get_option_name(), command));
  }
  throw InputError(fmt::format("the options of `pikv {}` cannot be read ({}); `pikv {} --help` lists them", command, problem.what(), command));
}

void add(GivenOptions& given, std::string const& name, Given what) {
  if (auto const [at, is_new] = given.try_emplace(name, std::move(what)); !is_new)
    throw InputError(fmt::format("{} repeats an option that is given already; keep one of the two", what.said));
}

GivenOptions from_command_line(std::string_view command, std::span<OptionSpec const> specs, std::span<std::string const> args) {
  namespace style = po::command_line_style;
  auto const known = describe(specs);
  GivenOptions given;
  try {
    auto const parsed = po::command_line_parser({args.begin(), args.end()})
                            .options(known)
                            .style(style::allow_long | style::long_allow_adjacent | style::long_allow_next)
                            .run();
    for (auto const& option : parsed.options) {
      if (option.string_key.empty())
        throw InputError(fmt::format("'{}' stands alone; options of `pikv {}` begin with --{}", option.value.at(0), command,
                                     did_you_mean(bare(option.value.at(0)), names_of(specs), "--")));
      if (option.original_tokens.size() > 1 && option.original_tokens[1].starts_with("--"))
        throw InputError(fmt::format("--{} needs a value, but {} follows; write --{}={} if that is the value", option.string_key,
                                     option.original_tokens[1], option.string_key, option.original_tokens[1]));
      auto const value = option.value.empty() ? std::string{"true"} : option.value.front();
      auto const said = option.value.empty() ? "--" + option.string_key : fmt::format("--{}={}", option.string_key, value);
      add(given, option.string_key, {value, said});
    }
  } catch (po::error const& problem) {
    explain(command, specs, problem);
  }
  return given;
}

GivenOptions from_environment(std::span<OptionSpec const> specs) {
  std::map<std::string, std::string, std::less<>> option_of;
  std::vector<std::string> variables;
  for (auto const& spec : specs) option_of[variables.emplace_back(variable_of(spec.name))] = spec.name;
  GivenOptions given;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view const text = *entry;
    if (!text.starts_with(environment_prefix)) continue;
    auto const variable = text.substr(environment_prefix.size(), text.find('=') - environment_prefix.size());
    if (auto const option = option_of.find(variable); option != option_of.end())
      given[option->second] = {std::string{text.substr(text.find('=') + 1)}, std::string{text}};
    else if (auto const hint = did_you_mean(variable, variables, environment_prefix); !hint.empty())
      throw InputError(fmt::format("{}{} in the environment is not an option{}; rename or unset it", environment_prefix, variable, hint));
  }
  return given;
}

GivenOptions from_file(std::string_view command, std::span<OptionSpec const> specs, std::string const& path) {
  std::ifstream in{path};
  if (!in || !std::filesystem::is_regular_file(path))
    throw InputError(fmt::format("--config={} cannot be read ({}); name an INI file with lines like batch = 8", path,
                                 std::filesystem::exists(path) ? "not a readable file" : "no such file"));
  GivenOptions given;
  try {
    for (auto const& option : po::parse_config_file(in, describe(specs), true).options) {
      if (option.unregistered || option.string_key == "config")
        throw InputError(fmt::format("{} in {} is not an option of `pikv {}`{}; mend or remove it", option.string_key, path, command,
                                     did_you_mean(option.string_key, names_of(specs))));
      auto const& value = option.value.at(0);
      add(given, option.string_key, {value, fmt::format("{}={} in {}", option.string_key, value, path)});
    }
  } catch (po::error const& problem) {
    throw InputError(fmt::format("{} is not an INI file ({}); write lines like batch = 8", path, problem.what()));
  }
  return given;
}

std::size_t distance(std::string_view a, std::string_view b) {   // Levenshtein
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j)
      diagonal = std::exchange(row[j + 1], std::min({row[j] + 1, row[j + 1] + 1, diagonal + (a[i] == b[j] ? 0 : 1)}));
  }
  return row.back();
}

}  // namespace

GivenOptions read_given(std::string_view command, std::span<OptionSpec const> specs, std::span<std::string const> args) {
  auto given = from_command_line(command, specs, args);
  given.merge(from_environment(specs));
  if (auto const config = given.find("config"); config != given.end()) given.merge(from_file(command, specs, config->second.value));
  return given;
}

std::string take_operand(std::span<OptionSpec const> specs, std::vector<std::string>& words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (!words[i].starts_with("--")) {
      std::string operand = words[i];
      words.erase(words.begin() + static_cast<std::ptrdiff_t>(i));
      return operand;
    }
    bool const takes_value = std::ranges::none_of(specs, [&](OptionSpec const& spec) { return spec.value.empty() && words[i] == "--" + spec.name; });
    if (words[i].find('=') == std::string::npos && takes_value) ++i;
  }
  return "";
}

std::string options_help(std::span<OptionSpec const> specs) {
  std::ostringstream text;
  text << describe(specs);
  return text.str();
}

std::string nearest(std::string_view word, std::span<std::string const> names) {
  std::string best;
  std::size_t best_distance = std::clamp<std::size_t>(word.size() / 3, 1, 3) + 1;
  for (auto const& name : names) {
    std::size_t const d = word.size() > 2 && name.starts_with(word) ? 1 : distance(word, name);
    if (d < best_distance) best = name, best_distance = d;
  }
  return best;
}

std::string did_you_mean(std::string_view word, std::span<std::string const> names, std::string_view prefix) {
  auto const close = nearest(word, names);
  return close.empty() ? "" : fmt::format(" (did you mean {}{}?)", prefix, close);
}

}  // namespace pikv::runtime
