#pragma once

#include <fmt/core.h>

#include <boost/program_options.hpp>
#include <exception>
#include <sstream>

#include "comm/error.hpp"

namespace pikv::perf {

/// The main() of a benchmark: reads its options, prints them for --help, runs it. Trouble is one sentence, and code 2 for a bad option, else 1.
template <typename Run>
int bench_main(char const* name, boost::program_options::options_description& options, int argc, char** argv, Run const& run) {
  options.add_options()("help", "this text");
  try {
    boost::program_options::variables_map given;
    boost::program_options::store(boost::program_options::parse_command_line(argc, argv, options), given);
    boost::program_options::notify(given);
    if (given.count("help")) {
      std::ostringstream text;
      text << options;
      fmt::print("{}", text.str());
      return 0;
    }
    run();
    return 0;
  } catch (boost::program_options::error const& error) {
    fmt::print(stderr, "{}: {}; see --help\n", name, error.what());
    return 2;
  } catch (InputError const& error) {
    fmt::print(stderr, "{}: {}\n", name, error.what());
    return 2;
  } catch (std::exception const& error) {
    fmt::print(stderr, "{}: {}\n", name, error.what());
    return 1;
  }
}

}  // namespace pikv::perf
