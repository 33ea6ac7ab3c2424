#pragma once

#include <map>
#include <string_view>

#include "shards/codecs/moments.hpp"

namespace pikv::shards {

/// A family of linear maps that calibration makes and a codec of the same name uses (methods 3.1, 3.2, 3.5, 3.7, 3.8).
struct MapFamily {
  std::string_view sentence;
  /// The map of all ranks from a head's moments. Null: fitted for one rank at a time to samples of attention (codecs/maps/distill.hpp).
  FullMap (*from_moments)(HeadMoments const&, Part);
};

/// By name.
std::map<std::string_view, MapFamily> const& map_families();

}  // namespace pikv::shards
