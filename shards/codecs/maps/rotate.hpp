#pragma once

#include "shards/codecs/moments.hpp"

namespace pikv::shards {

/// The map of the codec `rotate`, which keeps everything: encode = decode = a Hadamard matrix over sqrt(b), mean 0, in blocks of b, the largest power of
/// two that divides head_dim. A number that stands out is spread over b of them, so the ends of a group of codes are nearer (QuaRot, arXiv 2404.00456).
FullMap rotation_map(std::int32_t head_dim);

}  // namespace pikv::shards
