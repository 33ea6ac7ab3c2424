#pragma once

#include <cstddef>
#include <filesystem>

namespace pikv::runtime {

/// Takes the disk's room for `bytes` more of a file that exists, where the file system can: a write that fails inside a collective call, on
/// one rank alone, is one that the other ranks wait for until the deadline. Throws RunError.
void make_room(std::filesystem::path const& file, std::size_t bytes);

}  // namespace pikv::runtime
