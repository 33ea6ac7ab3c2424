#include "kernels/append.hpp"

namespace pikv::kernels::reference {

void append(PoolView const& pool, std::int32_t const* slots, std::int32_t const* at, float const* k, float const* v, std::int32_t rows) {
  PageLayout const& layout = pool.layout;
  auto const d = static_cast<std::size_t>(layout.head_dim);
  for (std::int32_t row = 0; row < rows; ++row) {
    for (std::int32_t head = 0; head < layout.kv_heads; ++head) {
      std::size_t const from = (static_cast<std::size_t>(row) * layout.kv_heads + head) * d;
      std::size_t const to = head * layout.head_scalars() + at[row] * d;
      for (std::size_t i = 0; i < d; ++i) {
        store_scalar(layout.dtype, pool.keys(slots[row]), to + i, k[from + i]);
        store_scalar(layout.dtype, pool.values(slots[row]), to + i, v[from + i]);
      }
    }
  }
}

}  // namespace pikv::kernels::reference
