#pragma once

#include <string>
#include <vector>

#include "jobs/command.hpp"
#include "runtime/replay/reads.hpp"
#include "runtime/replay/workload.hpp"

namespace pikv::jobs {

struct ReplayOptions {
  std::string trace;                               // empty: make one
  std::vector<std::string> policies;               // names of replay::policies()
  std::vector<runtime::replay::Page> capacities;   // ascending; empty: parts of the trace's pages
  std::string csv, curve, report;                  // files, empty: none
  std::string generate;                            // the trace to make
  runtime::replay::Workload workload;
};

/// Throws InputError.
ReplayOptions replay_options(Arguments args);
std::string replay_options_help();

}   // namespace pikv::jobs
