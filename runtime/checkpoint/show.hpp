#pragma once

#include <filesystem>
#include <string>

#include "runtime/checkpoint/reader.hpp"

namespace pikv::runtime {

/// The first `most` bytes, without control characters: a name from a prompt file may hold anything, also what moves a terminal's cursor.
std::string printable(std::string const& text, std::size_t most);

/// The line of a checkpoint in `pikv checkpoint list`, with its newline, and the line above all.
std::string list_line(CheckpointReader const& checkpoint);
std::string list_heading();
/// The line of one that is not whole, or cannot be read.
std::string list_line(std::filesystem::path const& path, std::string const& state);

/// All that a checkpoint says of the job, but for tokens and pages' bytes.
std::string show_text(CheckpointReader const& checkpoint);

}  // namespace pikv::runtime
