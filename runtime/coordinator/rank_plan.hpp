#pragma once

#include <string>
#include <vector>

#include "comm/rank.hpp"
#include "shards/epoch.hpp"

namespace pikv::runtime {

/// Which ranks store pages, step by step (docs/files.md: --rank-plan, --active-ranks). All ranks of the job decode all the time.
class RankPlan {
 public:
  /// The first `active` of `ranks` ranks store from the start, and that is all.
  RankPlan(int ranks, int active);
  RankPlan() : RankPlan{0, 0} {}   // all of the job store, all the time

  /// Reads the JSON list of --rank-plan on top. `said` names the file. InputError for another form, a rank that is not there, a rank that
  /// drains or joins twice in a row, steps that fall, and a plan that leaves no rank.
  void read(std::string const& text, std::string const& said);

  /// By rank: whether it is to store pages from `step` on.
  std::vector<bool> const& storing(shards::Step step) const;
  int least_storing() const;      // at any time
  bool constant() const { return changes_.size() == 1; }

 private:
  struct Change {
    shards::Step step;
    std::vector<bool> storing;
  };
  std::vector<Change> changes_;   // by step; the first is of the start
};

}  // namespace pikv::runtime
