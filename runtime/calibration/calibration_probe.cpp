#include "runtime/calibration/calibration_probe.hpp"

#include <algorithm>

#include "runtime/calibration/split.hpp"
#include "runtime/request.hpp"

namespace pikv::runtime {

CalibrationProbe::CalibrationProbe(ModelConfig const& config, std::int64_t windows, std::int32_t window_tokens)
    : q_row_{static_cast<std::size_t>(config.q_heads * config.head_dim)},
      kv_row_{static_cast<std::size_t>(config.kv_heads * config.head_dim)},
      calibration_{config.layers, config.kv_heads, config.q_heads, config.head_dim},
      held_out_{calibration_},
      samples_{config, windows, window_tokens} {
  for (std::int64_t window = 0; window < windows; ++window) window_[stream_of(window)] = window;
}

void CalibrationProbe::attended(std::int32_t layer, Batch const& batch, float const* q, float const* k, float const* v, float const*) {
  std::size_t row = 0;
  for (shards::Segment const& segment : batch.segments) {
    std::int64_t const window = window_.at(segment.stream->id());
    std::int32_t const position = batch.positions[row];
    samples_.add(window, layer, position, segment.rows, q + row * q_row_, k + row * kv_row_, v + row * kv_row_);
    std::int32_t const skipped = std::clamp(sinks - position, 0, segment.rows);
    std::size_t const first = row + static_cast<std::size_t>(skipped);
    MomentSums& sums = is_held_out(window) ? held_out_ : calibration_;
    sums.add(layer, segment.rows - skipped, q + first * q_row_, k + first * kv_row_, v + first * kv_row_);
    row += static_cast<std::size_t>(segment.rows);
  }
}

}   // namespace pikv::runtime
