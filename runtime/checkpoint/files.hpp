#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace pikv::runtime {

/// Checkpoints lie in a folder as step-000000000123.h5, each whole under that name.
std::filesystem::path checkpoint_name(std::filesystem::path const& folder, std::int64_t step);

/// Those of a folder, the newest (of the highest step) first; empty where it is none.
std::vector<std::filesystem::path> checkpoints_in(std::filesystem::path const& folder);

/// What jobs left unfinished there, or write now: step-*.h5.part.
std::vector<std::filesystem::path> unfinished_in(std::filesystem::path const& folder);

/// A file is itself, a folder means its newest. Throws RunError where there is none.
std::filesystem::path checkpoint_at(std::filesystem::path const& path);

/// Once a job that went on at step `from` has saved itself as `newest`: removes the others of the folder that are of a higher step than `from`.
/// They are of a future that did not happen.
void remove_future(std::filesystem::path const& newest, std::int64_t from);

/// Once a checkpoint is whole: removes all but the newest checkpoints_kept, `spare` besides (empty: none), and what is unfinished.
inline constexpr std::size_t checkpoints_kept = 2;
void remove_older(std::filesystem::path const& folder, std::filesystem::path const& spare);

}  // namespace pikv::runtime
