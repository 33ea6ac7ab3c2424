#include "runtime/calibration/error_table.hpp"

#include <fmt/format.h>

#include <utility>

namespace pikv::runtime {
namespace {

/// Over all layers and heads.
template <typename OfHead>
MapError sum_over_heads(CalibrationFacts const& facts, OfHead const& of_head) {
  MapError sum;
  for (std::int32_t layer = 0; layer < facts.layers; ++layer)
    for (std::int32_t head = 0; head < facts.kv_heads; ++head) {
      MapError const error = of_head(layer, head);
      sum.squared += error.squared;
      sum.weighted += error.weighted;
    }
  return sum;
}

std::string row_of(Calibration const& calibration, std::string const& name, std::int32_t rank) {
  std::array<MapError, 2> lost, size;
  for (Part const part : {Part::keys, Part::values}) {
    auto const at = static_cast<std::size_t>(part);
    lost[at] = sum_over_heads(calibration.facts(), [&](std::int32_t layer, std::int32_t head) { return calibration.held_out(name, part, layer, head, rank); });
    size[at] = sum_over_heads(calibration.facts(), [&](std::int32_t layer, std::int32_t head) { return calibration.held_out_size(part, layer, head); });
  }
  return fmt::format("{:<10} {:>4} {:>10.2e} {:>10.2e} {:>10.2e} {:>10.2e} {:>10.2e}\n", name, rank,
                     (lost[0].squared + lost[1].squared) / (size[0].squared + size[1].squared), lost[0].squared / size[0].squared,
                     lost[1].squared / size[1].squared, lost[0].weighted / size[0].weighted, lost[1].weighted / size[1].weighted);
}

}   // namespace

std::string error_table(Calibration const& calibration) {
  std::string text = fmt::format("{:<10} {:>4} {:>10} {:>10} {:>10} {:>10} {:>10}\n", "map", "rank", "error", "keys", "values", "logits", "outputs");
  auto const steps = shards::rank_steps(calibration.facts().head_dim);
  for (std::string const& name : calibration.names()) {
    if (auto const fitted = calibration.data().fitted.find(name); fitted != calibration.data().fitted.end()) {
      for (auto const& [rank, maps] : fitted->second) text += row_of(calibration, name, rank);
      continue;
    }
    std::int32_t last = 0;
    for (std::size_t const quarter : {1u, 2u, 3u}) {
      std::int32_t const rank = steps[(steps.size() * quarter + 3) / 4 - 1];
      if (rank != std::exchange(last, rank)) text += row_of(calibration, name, rank);
    }
  }
  return text;
}

}   // namespace pikv::runtime
