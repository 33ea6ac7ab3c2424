#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "shards/codecs/moments.hpp"

namespace pikv::shards {

/// How many bits each strip of 8 numbers of a `mixed` page takes (kernels/coded.hpp), 2 to 4.

/// What an error of each number of a key counts in logits, times how far the number varies: E[(decode^T q)_j^2] Var[c_j]. [rank]
std::vector<double> key_weights(RankMap const& map, HeadMoments const& moments);

/// Numbers in the order of their weights, heaviest first, so that those of a strip are alike.
void sort_numbers(RankMap& map, std::vector<double>& weights);

/// Of keys, by head: strips take a bit more in turn where sum weight / (2^bits - 1)^2 falls most, until `mean` bits are spent, over all heads together
/// (reverse water-filling; Gersho and Gray, Vector Quantization and Signal Compression, 8.3). weights [heads][a multiple of 8], sorted.
std::vector<std::vector<std::uint8_t>> key_bits(std::span<std::vector<double> const> weights, double mean);

/// Of values, whose strips share a group of 32 numbers: as many whole bits as `mean` has, the first groups one more. At most `mean` on average.
std::vector<std::uint8_t> value_bits(std::int32_t width, double mean);

}  // namespace pikv::shards
