#pragma once

#include <cstdint>
#include <span>

#include "kernels/pool.hpp"
#include "kernels/stream.hpp"

namespace pikv::kernels {

/// What is known of each page's keys without reading them (methods 1.4, 2.9; Quest, arXiv 2406.10774): per KV head the smallest and the largest
/// key of every channel, and the mean key, over the tokens the page holds, in the space of the stored keys (after rotary).
///   lo, hi  [pages][kv_heads][head_dim]  bf16 bits, rounded outwards (lo down, hi up), so that the bounds hold for the exact keys
///   mean    [pages][kv_heads][head_dim]  fp32
///   tokens  [pages]                      tokens summed up; 0: nothing is known, and no other row of it may be read
struct SummaryView {
  std::uint16_t const* lo = nullptr;
  std::uint16_t const* hi = nullptr;
  float const* mean = nullptr;
  std::int32_t const* tokens = nullptr;
  std::int32_t kv_heads = 0, head_dim = 0;
};

/// The places of one page's summary: [kv_heads][head_dim] each.
struct SummaryOut {
  std::uint16_t* lo = nullptr;
  std::uint16_t* hi = nullptr;
  float* mean = nullptr;
};

/// Queries q [q_heads][head_dim], fp32; query head h uses KV head h / (q_heads / kv_heads). Results [pages.size()][q_heads], of unscaled logits:
///   upper_bounds  UB = sum over channels of max(q*lo, q*hi) >= q.k of every key of the page
///   mean_logits   LB = q.mean <= the largest q.k of the page
/// both up to the rounding of an fp32 sum. Multiply-adds: q_heads * head_dim a page. Every listed page must have tokens; keys are finite.
/// summarise() sums up the first `tokens` (at least 1) of a slot.
namespace reference {
void summarise(PoolView const& pool, std::int32_t slot, std::int32_t tokens, SummaryOut out);
void upper_bounds(SummaryView const& summaries, std::span<std::int32_t const> pages, float const* q, std::int32_t q_heads, float* out);
void mean_logits(SummaryView const& summaries, std::span<std::int32_t const> pages, float const* q, std::int32_t q_heads, float* out);
}  // namespace reference
namespace host {
void summarise(PoolView const& pool, std::int32_t slot, std::int32_t tokens, SummaryOut out);
void upper_bounds(SummaryView const& summaries, std::span<std::int32_t const> pages, float const* q, std::int32_t q_heads, float* out);
void mean_logits(SummaryView const& summaries, std::span<std::int32_t const> pages, float const* q, std::int32_t q_heads, float* out);
}  // namespace host
namespace cuda {   // every pointer, `pages` included, in device memory; queued, not finished, on return; stream is a CudaStream
/// Many pages in one launch: the first tokens[i] of slot slots[i] go to row rows[i] of the tables out [..][kv_heads][head_dim], i < pages.
void summarise(PoolView const& pool, std::int32_t const* slots, std::int32_t const* tokens, std::int32_t const* rows, std::int32_t pages,
               SummaryOut out, Stream& stream);
void upper_bounds(SummaryView const& summaries, std::span<std::int32_t const> pages, float const* q, std::int32_t q_heads, float* out,
                  Stream& stream);
void mean_logits(SummaryView const& summaries, std::span<std::int32_t const> pages, float const* q, std::int32_t q_heads, float* out, Stream& stream);
}  // namespace cuda

}  // namespace pikv::kernels
