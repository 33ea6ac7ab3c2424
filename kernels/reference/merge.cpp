#include "kernels/merge.hpp"

#include <algorithm>
#include <cmath>

namespace pikv::kernels::reference {

void merge(PartialView into, PartialView part, std::int32_t rows, std::int32_t heads, std::int32_t d) {
  for (std::size_t at = 0; at < static_cast<std::size_t>(rows) * heads; ++at) {
    float const top = std::max(into.max[at], part.max[at]);
    if (top == empty_max) continue;
    double const of_into = std::exp(static_cast<double>(into.max[at]) - top), of_part = std::exp(static_cast<double>(part.max[at]) - top);
    into.max[at] = top;
    into.denom[at] = static_cast<float>(of_into * into.denom[at] + of_part * part.denom[at]);
    for (std::size_t i = at * d; i < (at + 1) * d; ++i) into.sum[i] = static_cast<float>(of_into * into.sum[i] + of_part * part.sum[i]);
  }
}

void finish(PartialView part, float* out, std::int32_t rows, std::int32_t heads, std::int32_t d) {
  for (std::size_t at = 0; at < static_cast<std::size_t>(rows) * heads; ++at)
    for (std::size_t i = at * d; i < (at + 1) * d; ++i) out[i] = part.denom[at] > 0 ? part.sum[i] / part.denom[at] : 0.0f;
}

}  // namespace pikv::kernels::reference
