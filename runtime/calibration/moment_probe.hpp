#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "runtime/calibration/moment_sums.hpp"
#include "runtime/layer_probe.hpp"
#include "runtime/model/config.hpp"

namespace pikv::runtime {

/// Attention sinks: the first tokens of a sequence, always kept exact, and so unlike the others that moments leave them out (methods 3.0).
inline constexpr std::int32_t sinks = 4;

/// One window in five is held out: the fifth, the tenth, ...
constexpr bool is_held_out(std::int64_t window) { return window % 5 == 4; }

/// Sums moments of everything that passes, the windows for calibration and those held out apart. Window i is the stream of request i.
class MomentProbe : public LayerProbe {
 public:
  MomentProbe(ModelConfig const& config, std::int64_t windows);
  void attended(std::int32_t layer, Batch const& batch, float const* q, float const* k, float const* v, float const* out) override;
  void ended(shards::StreamId const&) override {}

  MomentSums& calibration() { return calibration_; }
  MomentSums& held_out() { return held_out_; }

 private:
  std::size_t q_row_, kv_row_;                                // numbers
  std::unordered_map<shards::StreamId, std::int64_t> window_;
  MomentSums calibration_, held_out_;
};

}   // namespace pikv::runtime
