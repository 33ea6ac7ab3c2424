#pragma once

#include <cstdint>

#include "kernels/pool.hpp"
#include "kernels/stream.hpp"

namespace pikv::kernels {

/// Stores rows of new keys and values into pages, rounded to the page's type at once (to nearest, ties to even).
///   slots, at  [rows]   page slot and token index inside the page of each row; no two rows share a place
///   k, v       [rows][kv_heads][head_dim] fp32
namespace reference {
void append(PoolView const& pool, std::int32_t const* slots, std::int32_t const* at, float const* k, float const* v, std::int32_t rows);
}
namespace host {
void append(PoolView const& pool, std::int32_t const* slots, std::int32_t const* at, float const* k, float const* v, std::int32_t rows,
            Stream& stream);
}
namespace cuda {   // device memory; queued, not finished, on return; stream is a CudaStream
void append(PoolView const& pool, std::int32_t const* slots, std::int32_t const* at, float const* k, float const* v, std::int32_t rows,
            Stream& stream);
}  // namespace cuda

}  // namespace pikv::kernels
