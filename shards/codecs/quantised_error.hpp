#pragma once

#include <span>
#include <vector>

#include "shards/codecs/map_error.hpp"
#include "shards/codecs/maps/matrix.hpp"

namespace pikv::shards {

/// The map that keeps everything: encode and decode are the identity, mean 0.
FullMap identity_map(std::int32_t head_dim);

/// What int codes of `bits` bits add to a map's error at each of `ranks`, measured on tokens x [tokens][d], a multiple of 32 that follow each other: keys
/// share a group over 32 tokens of a coordinate, values over 32 coordinates of a token (methods 3.9; lo and step as they are, not rounded to fp16).
/// Errors of codes are independent of what the map has dropped, so they add (B3).
std::vector<MapError> code_errors(FullMap const& map, Matrix const& x, Matrix const& weight, Part part, int bits, std::span<std::int32_t const> ranks);

}  // namespace pikv::shards
