#pragma once

#include <cstdint>

#include "shards/stream.hpp"

namespace pikv::shards {

/// Rows of one stream in a step's batch: new tokens at positions stream->length() .. + rows - 1. The rows of a batch are the
/// rows of its segments, one after the other.
struct Segment {
  Stream* stream = nullptr;
  std::int32_t rows = 0;
};

}  // namespace pikv::shards
