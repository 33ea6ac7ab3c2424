#pragma once

#include <cstdint>
#include <vector>

#include "shards/segment.hpp"

namespace pikv::runtime {

/// What a rank computes in one step: the new tokens of its sequences, ragged, decode rows first. Zero rows is normal.
struct Batch {
  std::vector<shards::Segment> segments;
  std::vector<std::int32_t> tokens;        // [rows]
  std::vector<std::int32_t> positions;     // [rows]
  std::vector<std::uint8_t> generated;     // [rows], 1: a token that followed the prompt, 0: one of the prompt
  std::vector<std::int32_t> logit_rows;    // rows whose logits are wanted, ascending
  std::int32_t decode_rows = 0;

  std::int32_t rows() const { return static_cast<std::int32_t>(tokens.size()); }
  void clear() {
    segments.clear();
    tokens.clear();
    positions.clear();
    generated.clear();
    logit_rows.clear();
    decode_rows = 0;
  }
};

}  // namespace pikv::runtime
