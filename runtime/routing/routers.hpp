#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "runtime/routing/router.hpp"

namespace pikv::runtime {

struct RouterMaterial {
  KvExpert experts = 0;
  std::vector<std::int32_t> group;   // of each expert, its node or rank: for `hierarchical`
  std::uint64_t seed = 0;
};

struct RouterEntry {
  std::string_view sentence;   // for `pikv list routers`
  bool affinities = true;      // wants RouterQuery::affinity
  bool stats = false;          // wants ExpertStats
  bool learns = false;         // wants StepOutcome
  bool remembers = false;      // goes by what its home's streams have read before, which no checkpoint holds
  std::unique_ptr<Router> (*make)(RouterMaterial const&) = nullptr;
};

/// name -> router, for routed attention. --help, errors, `pikv list`, the sweep and the test that tries each read this table; a new one is one
/// file in routing/ and one line.
std::map<std::string_view, RouterEntry> const& routers();

}  // namespace pikv::runtime
