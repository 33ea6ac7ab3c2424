#pragma once

#include <cstdint>

#include "kernels/partial.hpp"
#include "kernels/stream.hpp"

namespace pikv::kernels {

/// into = into joined with part (I1); two empty parts merge to empty. Element-wise over [rows][heads].
/// finish: out [rows][heads][d] = sum / denom; rows without any key give 0.
/// check_wire: false if any value is NaN, a denom is negative, or an empty part is not (max = -inf, denom = 0, sum = 0): refused at the wire.
namespace reference {
void merge(PartialView into, PartialView part, std::int32_t rows, std::int32_t heads, std::int32_t d);
void finish(PartialView part, float* out, std::int32_t rows, std::int32_t heads, std::int32_t d);
}  // namespace reference
namespace host {
void merge(PartialView into, PartialView part, std::int32_t rows, std::int32_t heads, std::int32_t d, Stream& stream);
void finish(PartialView part, float* out, std::int32_t rows, std::int32_t heads, std::int32_t d, Stream& stream);
}  // namespace host
namespace cuda {   // device memory; queued, not finished, on return; stream is a CudaStream
void merge(PartialView into, PartialView part, std::int32_t rows, std::int32_t heads, std::int32_t d, Stream& stream);
void finish(PartialView part, float* out, std::int32_t rows, std::int32_t heads, std::int32_t d, Stream& stream);
}  // namespace cuda

[[nodiscard]] bool check_wire(PartialView part, std::int32_t rows, std::int32_t heads, std::int32_t d);

}  // namespace pikv::kernels
