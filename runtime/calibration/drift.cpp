#include "runtime/calibration/drift.hpp"

#include <fmt/format.h>

#include <utility>

#include "shards/mix.hpp"

namespace pikv::runtime {
namespace {
constexpr std::uint64_t one_in = 64;
constexpr double newest = 1. / 32, too_much = 1.5;
constexpr std::int64_t fewest_pages = 32;
}   // namespace

bool is_checked_for_drift(shards::PageKey const& key) {
  std::uint64_t const place = std::uint64_t{key.layer} << 48 | std::uint64_t{key.head_begin} << 32 | static_cast<std::uint32_t>(key.block);
  return shards::mix(key.stream.hi ^ shards::mix(key.stream.lo ^ shards::mix(place))) % one_in == 0;
}

DriftCheck::DriftCheck(ByHead<double> expected, std::int32_t kv_heads) : expected_{std::move(expected)}, kv_heads_{kv_heads} {
  for (std::size_t part = 0; part < 2; ++part) states_[part].resize(expected_[part].size());
}

void DriftCheck::page(std::int32_t layer, std::int32_t head, Part part, double relative) {
  auto const index = static_cast<std::size_t>(part);
  double const expected = expected_[index][at(layer, head)];
  if (expected <= 0) return;
  State& state = states_[index][at(layer, head)];
  state.average += newest * (relative / expected - state.average);
  if (++state.pages < fewest_pages || state.average <= too_much || said_ || waiting_) return;
  waiting_ = fmt::format("{} of layer {}, head {} lose {:.1f} times what the calibration measured on held-out text; recalibrate on text like this with `pikv calibrate`",
                         part == Part::keys ? "keys" : "values", layer, head, state.average);
}

std::optional<std::string> DriftCheck::warning() {
  if (waiting_) said_ = true;
  return std::exchange(waiting_, std::nullopt);
}

}   // namespace pikv::runtime
