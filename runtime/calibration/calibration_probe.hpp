#pragma once

#include <cstdint>
#include <unordered_map>

#include "runtime/calibration/moment_sums.hpp"
#include "runtime/calibration/samples.hpp"
#include "runtime/layer_probe.hpp"
#include "runtime/model/config.hpp"

namespace pikv::runtime {

/// Sums moments of everything that passes, the windows for calibration and those held out apart, and keeps samples. Window i is the stream of request i.
class CalibrationProbe : public LayerProbe {
 public:
  CalibrationProbe(ModelConfig const& config, std::int64_t windows, std::int32_t window_tokens);
  void attended(std::int32_t layer, Batch const& batch, float const* q, float const* k, float const* v, float const* out) override;
  void ended(shards::StreamId const&) override {}

  MomentSums& calibration() { return calibration_; }
  MomentSums& held_out() { return held_out_; }
  Samples& samples() { return samples_; }

 private:
  std::size_t q_row_, kv_row_;                                // numbers
  std::unordered_map<shards::StreamId, std::int64_t> window_;
  MomentSums calibration_, held_out_;
  Samples samples_;
};

}   // namespace pikv::runtime
