#pragma once

#include <bit>
#include <cstdint>

namespace pikv::shards {

/// A block is page_tokens (a power of two) consecutive tokens of a stream, counted from 0.
using Block = std::int32_t;

constexpr Block block_of(std::int64_t position, std::int32_t page_tokens) {
  return static_cast<Block>(position >> std::countr_zero(static_cast<std::uint32_t>(page_tokens)));
}
constexpr std::int64_t first_position(Block block, std::int32_t page_tokens) { return std::int64_t{block} * page_tokens; }
constexpr Block blocks_for(std::int64_t tokens, std::int32_t page_tokens) { return block_of(tokens + page_tokens - 1, page_tokens); }

}  // namespace pikv::shards
