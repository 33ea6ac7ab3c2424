#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pikv::runtime {

/// What the user wrote for one option, and where, as an error repeats it: `--batch=3x`, `PIKV_BATCH=3x`, `batch=3x in run.ini`.
struct Given {
  std::string value;
  std::string said;
};

/// One option of a sub-command. `value` is the placeholder in --help, empty for a flag; `initial` what holds when it is not given.
struct OptionSpec {
  std::string name;      // without dashes
  std::string value;
  std::string initial;
  std::string help;
};

using GivenOptions = std::map<std::string, Given, std::less<>>;

/// Merges the three places an option may stand in: command line over PIKV_<OPTION> in the environment over the INI file that --config
/// (or PIKV_CONFIG) names. A flag's value is `true`, or what the environment or file says. Throws InputError on an unknown option (with
/// the nearest name), a missing value, a repeated option, a stray argument, a file that cannot be read, and a variable PIKV_X that
/// looks like a misspelt option (others beginning with PIKV_ are left alone).
GivenOptions read_given(std::string_view command, std::span<OptionSpec const> specs, std::span<std::string const> args);

/// Takes the first word that is neither an option nor an option's value out of `words`; empty if there is none.
std::string take_operand(std::span<OptionSpec const> specs, std::vector<std::string>& words);

/// The options with defaults, one a line.
std::string options_help(std::span<OptionSpec const> specs);

/// The name that `word` begins, or is a slip of the finger away from; empty if none is close.
std::string nearest(std::string_view word, std::span<std::string const> names);

/// ` (did you mean PREFIXname?)` or nothing.
std::string did_you_mean(std::string_view word, std::span<std::string const> names, std::string_view prefix = "");

}  // namespace pikv::runtime
