#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "comm/inprocess_world.hpp"
#include "runtime/calibration/calibrate.hpp"
#include "tests/runtime/engine/harness.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {

/// Of the embedded model, for codecs with a basis; made once.
inline runtime::Calibration const& embedded_calibration() {
  static runtime::Calibration const made = [] {
    runtime::CalibrateOptions options;
    options.cache = options_for(embedded_folder() / "tiny-moe", 1);
    options.tokens = small_form() ? 1280 : 4096;   // five windows, the fewest
    options.window = 256;
    options.distill = std::vector<std::int32_t>{};
    std::optional<runtime::Calibration> calibration;
    comm::run_inprocess({.ranks = 1}, [&](comm::World& world) { calibration.emplace(runtime::calibrated(world, options, "test")); });
    return std::move(*calibration);
  }();
  return made;
}

}  // namespace pikv::test
