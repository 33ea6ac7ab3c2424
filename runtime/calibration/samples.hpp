#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "comm/world.hpp"
#include "runtime/model/config.hpp"
#include "shards/codecs/maps/attention_sample.hpp"

namespace pikv::runtime {

/// The sampled windows of one layer and KV head, all ranks': `fit` for calibration, `held_out` to judge by.
struct HeadSamples {
  std::vector<shards::AttentionWindow> fit, held_out;
};

/// Keys, values and one query position in eight of the first 512 tokens of the sampled windows (split.hpp), fp32.
class Samples {
 public:
  Samples(ModelConfig const& config, std::int64_t windows, std::int32_t window_tokens);

  /// Rows of one window from position `first` on; those that are not sampled do nothing.
  void add(std::int64_t window, std::int32_t layer, std::int32_t first, std::int32_t rows, float const* q, float const* k, float const* v);
  /// Collective: those of one layer, of all ranks, by KV head. They are let go here.
  std::vector<HeadSamples> take(comm::World& world, double deadline_s, std::int32_t layer);

 private:
  struct Place {   // of a window's numbers in one layer
    std::size_t k, v, q, end;
  };
  shards::AttentionWindow window_of(float const* numbers, std::int32_t head) const;

  std::int32_t layers_, q_heads_, kv_heads_, head_dim_, tokens_, queries_;
  Place place_;
  std::vector<std::int64_t> chosen_;
  std::map<std::int64_t, std::vector<std::vector<float>>> mine_;   // by window, layer
};

}   // namespace pikv::runtime
