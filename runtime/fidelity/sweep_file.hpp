#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/fidelity/sweep_rows.hpp"

namespace pikv::runtime {

/// What a sweep is of, apart from its settings: results of one go with no other.
struct SweepSubject {
  std::string model;     // fingerprint
  std::string tasks;     // digest of their tokens
  std::string options;   // that hold for all settings and change results
};

/// A sweep's file, docs/sweep.md. For rank 0 alone.
struct SweepFile {
  SweepSubject subject;
  std::string command;
  std::vector<PointRow> points;
  std::vector<NeedleRow> needles;
  std::vector<TaskRow> tasks;
};

/// Replaces `path` by a file that is whole at every moment: PATH.part first, then renamed. Throws RunError.
void write_sweep(std::filesystem::path const& path, SweepFile const& sweep);
/// Throws RunError: not a sweep, damaged, of another format.
SweepFile read_sweep(std::filesystem::path const& path);

}   // namespace pikv::runtime
