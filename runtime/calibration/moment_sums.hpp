#pragma once

#include <cstdint>
#include <vector>

#include "comm/world.hpp"
#include "shards/codecs/moments.hpp"

namespace pikv::runtime {

/// Sums over tokens and queries, fp64, from which HeadMoments are made: of each layer and KV head.
class MomentSums {
 public:
  MomentSums(std::int32_t layers, std::int32_t kv_heads, std::int32_t q_heads, std::int32_t head_dim);

  /// q [rows][q_heads][head_dim], k, v [rows][kv_heads][head_dim].
  void add(std::int32_t layer, std::int32_t rows, float const* q, float const* k, float const* v);
  /// Collective: sums over all ranks, in their order, on every rank: the same from any number of ranks but for rounding in fp64.
  void reduce(comm::World& world, double deadline_s);

  std::int64_t tokens() const;
  /// Without o_gram.
  shards::HeadMoments moments(std::int32_t layer, std::int32_t head) const;

 private:
  struct Place {
    std::size_t count, k_sum, v_sum, kk, vv, qq, end;
  };
  std::size_t head_begin(std::int32_t layer, std::int32_t head) const;

  std::int32_t layers_, kv_heads_, q_heads_, head_dim_;
  Place place_;
  std::vector<double> sums_;   // [layers][kv_heads][place_.end]
};

}   // namespace pikv::runtime
