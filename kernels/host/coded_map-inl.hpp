// Included once per Highway target, hence the guard of its own.
#if defined(PIKV_KERNELS_HOST_CODED_MAP_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef PIKV_KERNELS_HOST_CODED_MAP_INL
#undef PIKV_KERNELS_HOST_CODED_MAP_INL
#else
#define PIKV_KERNELS_HOST_CODED_MAP_INL
#endif

#include <algorithm>
#include <cstring>

#include "kernels/host/coded_load-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

inline float dot(float const* a, float const* b, std::size_t count) {
  Floats const d;
  FloatVec sum = hn::Zero(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) sum = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), sum);
  float rest = 0;
  for (; i < count; ++i) rest += a[i] * b[i];
  return hn::GetLane(hn::SumOfLanes(d, sum)) + rest;
}

/// mapped [width] = decode^T q, zeros from the rank on; returns q . mean.
inline float map_query(LinearMap const& map, std::size_t head_dim, float const* q, float* mapped, std::size_t width) {
  std::fill_n(mapped, width, 0.0f);
  if (map.identity()) {
    std::copy_n(q, head_dim, mapped);
    return 0;
  }
  std::size_t const rank = map.rank;
  by_vectors(rank, [&](auto d, std::size_t j) HWY_ATTR {
    auto sum0 = hn::Zero(d), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    std::size_t i = 0;
    float const* row = map.decode + j;
    for (; i + 4 <= head_dim; i += 4, row += 4 * rank) {
      sum0 = hn::MulAdd(hn::Set(d, q[i]), hn::LoadU(d, row), sum0);
      sum1 = hn::MulAdd(hn::Set(d, q[i + 1]), hn::LoadU(d, row + rank), sum1);
      sum2 = hn::MulAdd(hn::Set(d, q[i + 2]), hn::LoadU(d, row + 2 * rank), sum2);
      sum3 = hn::MulAdd(hn::Set(d, q[i + 3]), hn::LoadU(d, row + 3 * rank), sum3);
    }
    for (; i < head_dim; ++i, row += rank) sum0 = hn::MulAdd(hn::Set(d, q[i]), hn::LoadU(d, row), sum0);
    hn::StoreU(hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3)), d, mapped + j);
  });
  return dot(q, map.mean, head_dim);
}

/// to [head_dim] = mean * weight + decode sum.
inline void decode_sum(LinearMap const& map, std::size_t head_dim, float const* sum, float weight, float* to) {
  Floats const d;
  std::size_t const rank = map.rank;
  std::size_t i = 0;
  for (; i + 4 <= head_dim; i += 4) {
    FloatVec dots[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    float const* const row = map.decode + i * rank;
    std::size_t j = 0;
    for (; j + lanes <= rank; j += lanes)
      for (int k = 0; k < 4; ++k) dots[k] = hn::MulAdd(hn::LoadU(d, row + k * rank + j), hn::LoadU(d, sum + j), dots[k]);
    store_sums(dots[0], dots[1], dots[2], dots[3], to + i);
    for (int k = 0; k < 4; ++k) {
      to[i + k] += map.mean[i + k] * weight;
      for (std::size_t rest = j; rest < rank; ++rest) to[i + k] += row[k * rank + rest] * sum[rest];
    }
  }
  for (; i < head_dim; ++i) to[i] = map.mean[i] * weight + dot(map.decode + i * rank, sum, rank);
}

/// A basis that lies in its page (kernels/own_basis.hpp).
struct StoredBasis {
  std::byte const* at;
  std::size_t head_dim;
  std::int32_t rank;

  float const* mean() const { return reinterpret_cast<float const*>(at); }
  float scale(std::int32_t j) const { return mean()[head_dim + j]; }
  std::int8_t const* component(std::int32_t j) const {
    return reinterpret_cast<std::int8_t const*>(mean() + head_dim + rank) + static_cast<std::size_t>(j) * head_dim;
  }
};

HWY_INLINE FloatVec load_component(std::int8_t const* at) {
  Floats const d;
  return hn::ConvertTo(d, hn::PromoteTo(hn::RebindToSigned<Floats>(), hn::LoadU(hn::Rebind<std::int8_t, Floats>(), at)));
}

/// mapped [width] = q in the basis, zeros from its rank on; returns q . mean.
inline float query_in_basis(StoredBasis const& basis, float const* q, float* mapped, std::size_t width) {
  Floats const d;
  std::fill_n(mapped, width, 0.0f);
  for (std::int32_t j = 0; j < basis.rank; ++j) {
    std::int8_t const* const component = basis.component(j);
    FloatVec sum = hn::Zero(d);
    std::size_t i = 0;
    for (; i + lanes <= basis.head_dim; i += lanes) sum = hn::MulAdd(hn::LoadU(d, q + i), load_component(component + i), sum);
    float rest = 0;
    for (; i < basis.head_dim; ++i) rest += q[i] * static_cast<float>(component[i]);
    mapped[j] = basis.scale(j) * (hn::GetLane(hn::SumOfLanes(d, sum)) + rest);
  }
  return dot(q, basis.mean(), basis.head_dim);
}

/// to [head_dim] = keep * to + add * (mean * weight + basis numbers).
inline void add_rebuilt(StoredBasis const& basis, float const* numbers, float weight, float keep, float add, float* to) {
  Floats const d;
  std::size_t i = 0;
  for (; i + lanes <= basis.head_dim; i += lanes) {
    FloatVec sum = hn::Mul(hn::Set(d, weight), hn::LoadU(d, basis.mean() + i));
    for (std::int32_t j = 0; j < basis.rank; ++j)
      sum = hn::MulAdd(hn::Set(d, numbers[j] * basis.scale(j)), load_component(basis.component(j) + i), sum);
    hn::StoreU(hn::MulAdd(hn::Set(d, keep), hn::LoadU(d, to + i), hn::Mul(hn::Set(d, add), sum)), d, to + i);
  }
  for (; i < basis.head_dim; ++i) {
    float sum = weight * basis.mean()[i];
    for (std::int32_t j = 0; j < basis.rank; ++j) sum += numbers[j] * basis.scale(j) * static_cast<float>(basis.component(j)[i]);
    to[i] = keep * to[i] + add * sum;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#endif
