#pragma once

#include "kernels/coded.hpp"
#include "shards/codecs/moments.hpp"

namespace pikv::shards {

/// The map as kernels read it, where it lies.
kernels::LinearMap view_of(RankMap const& map);

}  // namespace pikv::shards
