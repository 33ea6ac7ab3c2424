#pragma once

#include <cstdint>
#include <vector>

#include "shards/codecs/map_error.hpp"
#include "shards/codecs/maps/matrix.hpp"

namespace pikv::shards {

/// What pages of mixed bits lose of one head's tokens x [tokens][d], a multiple of 32 that follow each other, of keys with the map's feedback: measured
/// on pages that the host encodes and decodes. `weight` as in PartMoments.
MapError mixed_error(RankMap const& map, std::vector<std::uint8_t> const& bits, Matrix const& x, Matrix const& weight, Part part);

}  // namespace pikv::shards
