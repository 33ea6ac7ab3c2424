#pragma once

#include <cstdint>
#include <vector>

#include "shards/codecs/map_error.hpp"
#include "shards/codecs/maps/matrix.hpp"

namespace pikv::shards {

/// What pages of mixed bits lose of one head's tokens x [tokens][d] that follow each other, of keys with the map's feedback: measured on pages of 32
/// that the host encodes and decodes; the last is filled up with the last token. `weight` as in PartMoments.
MapError mixed_error(RankMap const& map, std::vector<std::uint8_t> const& bits, Matrix const& x, Matrix const& weight, Part part);

}  // namespace pikv::shards
