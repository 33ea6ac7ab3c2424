#include "kernels/append.hpp"

#include "kernels/host/parallel.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/host/append.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/host/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

HWY_INLINE std::size_t store_bf16(float const* from, std::size_t count, std::uint16_t* to) {
  hn::RebindToUnsigned<Floats> const d;
  hn::Rebind<std::uint16_t, Floats> const half;
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto const x = hn::LoadU(Floats(), from + i);
    auto const bits = hn::BitCast(d, x);
    auto const top = hn::ShiftRight<16>(bits);
    auto const rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(d, 0x7FFFu)), hn::And(top, hn::Set(d, 1u))));
    auto const nan = hn::RebindMask(d, hn::IsNaN(x));
    hn::StoreU(hn::TruncateTo(half, hn::IfThenElse(nan, hn::Or(top, hn::Set(d, 0x40u)), rounded)), half, to + i);
  }
  return i;
}

void store_head(DType type, float const* from, std::size_t count, void* page, std::size_t at) {
  std::size_t i = type == DType::bf16 ? store_bf16(from, count, static_cast<std::uint16_t*>(page) + at) : 0;
  for (; i < count; ++i) store_scalar(type, page, at + i, from[i]);
}

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pikv::kernels::host {

HWY_EXPORT(store_head);

void append(PoolView const& pool, std::int32_t const* slots, std::int32_t const* at, float const* k, float const* v, std::int32_t rows, Stream&) {
  PageLayout const& layout = pool.layout;
  auto const d = static_cast<std::size_t>(layout.head_dim), heads = static_cast<std::size_t>(layout.kv_heads);
  parallel_for(static_cast<std::size_t>(rows), 4.0 * rows * static_cast<double>(heads * d), [&](std::size_t row, int) {
    for (std::size_t head = 0; head < heads; ++head) {
      std::size_t const from = (row * heads + head) * d, to = head * layout.head_scalars() + static_cast<std::size_t>(at[row]) * d;
      HWY_DYNAMIC_DISPATCH(store_head)(layout.dtype, k + from, d, pool.keys(slots[row]), to);
      HWY_DYNAMIC_DISPATCH(store_head)(layout.dtype, v + from, d, pool.values(slots[row]), to);
    }
  });
}

}  // namespace pikv::kernels::host
#endif
