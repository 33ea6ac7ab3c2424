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

/// How the rounding errors of a key's numbers are made to cancel in logits: LinearMap's feedback for the numbers of `map` in their order, after which
/// E (q.x - q.x^)^2 over calibration's queries is least at each step, given the numbers rounded before (GPTQ, arXiv 2210.17323, 3): rows of the upper
/// Cholesky factor of W^-1 over its diagonal, less 1 there, W = decode^T E[q q^T] decode with a hundredth of its mean diagonal added to its diagonal.
std::vector<float> key_feedback(RankMap const& map, HeadMoments const& moments);

/// Of keys, by head: strips take a bit more in turn where sum weight / (2^bits - 1)^2 falls most, until `mean` bits are spent, over all heads together
/// (reverse water-filling; Gersho and Gray, Vector Quantization and Signal Compression, 8.3). weights [heads][a multiple of 8], sorted.
std::vector<std::vector<std::uint8_t>> key_bits(std::span<std::vector<double> const> weights, double mean);

/// Of values, whose strips share a group of 32 numbers: as many whole bits as `mean` has, the first groups one more. At most `mean` on average.
std::vector<std::uint8_t> value_bits(std::int32_t width, double mean);

/// Mixed keys of heads in maps of their own: numbers in order, with feedback, and their weights, which key_bits() spends bits by.
struct OrderedKeys {
  std::vector<RankMap> maps;
  std::vector<std::vector<double>> weights;
};
OrderedKeys ordered_keys(std::vector<RankMap> maps, std::span<HeadMoments const> moments);

}  // namespace pikv::shards
