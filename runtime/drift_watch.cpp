#include "runtime/drift_watch.hpp"

#include <spdlog/spdlog.h>

#include <utility>

namespace pikv::runtime {

namespace {

// |x - y|^2 / |x|^2 of `count` numbers of two pages; negative if x is 0.
double relative_error(kernels::DType type, std::byte const* exact, std::byte const* stored, std::size_t first, std::size_t count) {
  double lost = 0, whole = 0;
  for (std::size_t i = first; i < first + count; ++i) {
    double const x = kernels::load_scalar(type, exact, i), difference = x - kernels::load_scalar(kernels::DType::f32, stored, i);
    lost += difference * difference;
    whole += x * x;
  }
  return whole > 0 ? lost / whole : -1;
}

}  // namespace

DriftWatch::DriftWatch(ByHead<double> expected, std::int32_t kv_heads, kernels::PageLayout const& page) : check_{std::move(expected), kv_heads}, shape_{page} {
  shape_.dtype = kernels::DType::f32;
  stored_.resize(shape_.bytes());
}

void DriftWatch::encoded(shards::PageKey const& key, kernels::PoolView const& page, std::int32_t slot, kernels::CodedLayout const& layout, std::byte const* coded) {
  if (!is_checked_for_drift(key)) return;
  kernels::PoolView const stored{stored_.data(), stored_.size(), shape_};
  kernels::host::decode_page(layout, coded, stored, 0);
  for (std::int32_t head = 0; head < shape_.kv_heads; ++head) {
    std::size_t const first = static_cast<std::size_t>(head) * shape_.head_scalars();
    for (Part const part : {Part::keys, Part::values}) {
      bool const keys = part == Part::keys;
      double const relative = relative_error(page.layout.dtype, keys ? page.keys(slot) : page.values(slot), keys ? stored.keys(0) : stored.values(0), first, shape_.head_scalars());
      if (relative >= 0) check_.page(key.layer, key.head_begin + head, part, relative);
    }
  }
  if (auto const warning = check_.warning()) spdlog::warn("{}", *warning);
}

}  // namespace pikv::runtime
