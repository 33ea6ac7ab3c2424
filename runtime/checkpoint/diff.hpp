#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/checkpoint/reader.hpp"

namespace pikv::runtime {

/// How two checkpoints differ in what a job that goes on from them computes. Where a page lay (rank, slot, generation), times, steps and how a
/// job was run are no difference.
struct CheckpointDiff {
  std::uint64_t model = 0, options = 0, requests = 0, pages = 0;   // how many of each differ
  std::uint64_t equal_requests = 0, equal_pages = 0;
  std::vector<std::string> lines;   // one for each of the first differences
  std::uint64_t not_shown = 0;
  std::vector<std::string> notes;   // options that differ and decide nothing
  bool equal() const { return model + options + requests + pages == 0; }
};

/// Reads both whole. Throws RunError. A page that was left out is one that is not there.
CheckpointDiff diff_checkpoints(CheckpointReader const& a, CheckpointReader const& b);

std::string summary_of(CheckpointDiff const& diff);   // "3 requests, 17 pages differ; 9 requests and 40 pages are equal"

}  // namespace pikv::runtime
