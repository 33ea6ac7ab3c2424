#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>

#include "runtime/replay/reads.hpp"

namespace pikv::runtime::replay {

/// A trace of requests as serving systems publish them, a JSON object a line (docs/replay.md):
///   {"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 2353]}
/// timestamp in ms; a hash id names the block of input tokens in its place together with all before it, so equal ids are equal keys and values.
/// Further keys are left alone. Requests are read in the order of their timestamps, equal ones in that of the file. Throws RunError, one sentence
/// that begins with `name` and the line, on a line of another form; on a trace without requests.
Reads read_requests(std::istream& in, std::string const& name);
Reads read_requests(std::filesystem::path const& path);

}   // namespace pikv::runtime::replay
