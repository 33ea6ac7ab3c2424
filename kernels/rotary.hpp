#pragma once

#include <cstdint>

#include "kernels/stream.hpp"

namespace pikv::kernels {

/// Rotary embedding, half-split pairs (i, i + d/2) as in HF checkpoints. The table is made once per step and serves every layer:
///   cos, sin [rows][d/2]:  angle = float(position) * theta^(-2i/d), all in fp32 as transformers computes it.
namespace reference {
void rotary_table(std::int32_t const* positions, std::int32_t rows, std::int32_t d, float theta, float* cos, float* sin);
/// x [rows][heads][d], in place.
void rotary(float* x, float const* cos, float const* sin, std::int32_t rows, std::int32_t heads, std::int32_t d);
}  // namespace reference
namespace host {
void rotary_table(std::int32_t const* positions, std::int32_t rows, std::int32_t d, float theta, float* cos, float* sin, Stream& stream);
void rotary(float* x, float const* cos, float const* sin, std::int32_t rows, std::int32_t heads, std::int32_t d, Stream& stream);
}  // namespace host
namespace cuda {   // device memory; queued, not finished, on return; stream is a CudaStream
void rotary_table(std::int32_t const* positions, std::int32_t rows, std::int32_t d, float theta, float* cos, float* sin, Stream& stream);
void rotary(float* x, float const* cos, float const* sin, std::int32_t rows, std::int32_t heads, std::int32_t d, Stream& stream);
}  // namespace cuda

}  // namespace pikv::kernels
