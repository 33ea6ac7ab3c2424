#pragma once

#include <string>

#include "runtime/cache_settings.hpp"
#include "runtime/checkpoint/reader.hpp"

namespace pikv::runtime {

/// The model's page tables and the shape of a page, from its options and model. Throws RunError if they say none, or another size than payload_bytes.
PageTables page_tables(CheckpointFacts const& facts);

/// The first thing in which a checkpoint's tables disagree with each other, or that no job writes (a running request without its next token, a
/// page of no request, a page twice, ...), as a sentence without the file's name; empty if there is none. Pages that are missing are fine: what
/// they held is computed again. Reads no page.
std::string contradiction_in(CheckpointReader const& checkpoint);

}  // namespace pikv::runtime
