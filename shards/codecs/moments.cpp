#include "shards/codecs/moments.hpp"

#include <algorithm>

namespace pikv::shards {

RankMap map_of_rank(FullMap const& map, std::int32_t rank) {
  auto const d = static_cast<std::size_t>(map.head_dim), r = static_cast<std::size_t>(rank), kept = std::min(d, r);
  RankMap part{map.head_dim, rank, std::vector<float>(r * d), std::vector<float>(d * r), map.mean};
  std::copy_n(map.encode.begin(), kept * d, part.encode.begin());
  for (std::size_t i = 0; i < d; ++i)
    std::copy_n(map.decode.begin() + static_cast<std::ptrdiff_t>(i * d), kept, part.decode.begin() + static_cast<std::ptrdiff_t>(i * r));
  return part;
}

}  // namespace pikv::shards
