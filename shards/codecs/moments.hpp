#pragma once

#include <cstdint>
#include <vector>

namespace pikv::shards {

/// What calibration knows of one KV head of one layer, in fp64: moments of its keys (after rotary) and values over tokens, and of the queries of
/// its group of query heads. Means over tokens, or over queries; matrices are row-major [d][d].
struct HeadMoments {
  std::int32_t head_dim = 0;
  double tokens = 0, queries = 0;
  std::vector<double> k_mean, v_mean;        // [d]
  std::vector<double> k_second, v_second;    // E[x x^T], not centred
  std::vector<double> q_second;              // E[q q^T]
  std::vector<double> o_gram;                // sum over the group's query heads of W_o^h W_o^h^T: what a unit of this head's output weighs
};

enum class Part : std::uint8_t { keys, values };

/// A linear map of all ranks at once: the first r rows of `encode` and columns of `decode` are the map of rank r. fp32, row-major.
///   encode [d][d], decode [d][d], mean [d]; spectrum [d]: what the error loses when a coordinate is kept, descending (fp64)
struct FullMap {
  std::int32_t head_dim = 0;
  std::vector<float> encode, decode, mean;
  std::vector<double> spectrum;
};

/// A linear map of one rank, as kernels::LinearMap wants its matrices: encode [rank][d], decode [d][rank], mean [d]; feedback [rank][rank] or none.
struct RankMap {
  std::int32_t head_dim = 0, rank = 0;
  std::vector<float> encode, decode, mean, feedback{};
};

/// The map of rank `rank`, at most head_dim rounded up to a multiple of 8: coordinates past head_dim are 0.
RankMap map_of_rank(FullMap const& map, std::int32_t rank);

}  // namespace pikv::shards
