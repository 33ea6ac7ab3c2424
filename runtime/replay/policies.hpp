#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/replay/cache.hpp"

namespace pikv::runtime::replay {

struct Policy {
  std::string sentence;                                                            // for --help
  std::function<std::unique_ptr<Cache>(Reads const& reads, Page capacity)> make;   // capacity from 1 up
};

/// Where none is asked for: on every generated trace and capacity that was tried it hit as much as `lru` or more (docs/replay.md).
constexpr std::string_view default_policy = "prefix_lru";

/// name -> what decides which page goes: references (a file each in this folder) and the engine's schedulers that decide from reads alone
/// (scheduling/schedulers.hpp: entry.replays). A scheduler of a reference's name is `scheduler:NAME`.
std::map<std::string, Policy, std::less<>> const& policies();

}   // namespace pikv::runtime::replay
