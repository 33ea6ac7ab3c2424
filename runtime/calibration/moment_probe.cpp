#include "runtime/calibration/moment_probe.hpp"

#include <algorithm>

#include "runtime/request.hpp"

namespace pikv::runtime {

MomentProbe::MomentProbe(ModelConfig const& config, std::int64_t windows)
    : q_row_{static_cast<std::size_t>(config.q_heads * config.head_dim)},
      kv_row_{static_cast<std::size_t>(config.kv_heads * config.head_dim)},
      calibration_{config.layers, config.kv_heads, config.q_heads, config.head_dim},
      held_out_{calibration_} {
  for (std::int64_t window = 0; window < windows; ++window) window_[stream_of(window)] = window;
}

void MomentProbe::attended(std::int32_t layer, Batch const& batch, float const* q, float const* k, float const* v, float const*) {
  std::size_t row = 0;
  for (shards::Segment const& segment : batch.segments) {
    std::int32_t const skipped = std::clamp(sinks - batch.positions[row], 0, segment.rows);
    std::size_t const first = row + static_cast<std::size_t>(skipped);
    MomentSums& sums = is_held_out(window_.at(segment.stream->id())) ? held_out_ : calibration_;
    sums.add(layer, segment.rows - skipped, q + first * q_row_, k + first * kv_row_, v + first * kv_row_);
    row += static_cast<std::size_t>(segment.rows);
  }
}

}   // namespace pikv::runtime
