#pragma once

#include <cstddef>

namespace pikv::kernels::host {

inline constexpr std::size_t tile_records = 4;   // at most, per call
inline constexpr std::size_t most_tile_width = 512;
inline constexpr std::size_t most_tile_rows = 64;

/// Rows that are to be fetched meanwhile.
struct RowsAhead {
  std::byte const* const* rows;
  std::size_t count;
};

/// Attention on plain rows of bf16 by matrix tiles (AMX). Queries are split in three bf16 terms, which is all of an fp32, weights in two, good to 2^-18.
/// Up to four records a call; widths are multiples of 32, up to most_tile_width.
///   begin, end   of a thread's work on one run
///   prepare      queries [records][width] fp32 to what score() reads, prepared_bytes(width) of it
///   score        dots [records][dots_stride] = q . k for `count` rows, a multiple of 32, up to most_tile_rows
///   weigh        result [records][result_stride] = keep * result + sum of weight * value over `count` rows, weights [records][weights_stride]
struct TileKernels {
  char const* name;
  void (*begin)();
  void (*end)();
  std::size_t (*prepared_bytes)(std::size_t width);
  void (*prepare)(float const* const* queries, std::size_t records, std::size_t width, std::byte* prepared);
  void (*score)(std::byte const* const* keys, std::size_t count, std::size_t width, RowsAhead ahead, std::byte const* prepared, std::size_t records,
                float* dots, std::size_t dots_stride);
  void (*weigh)(std::byte const* const* values, std::size_t count, std::size_t width, RowsAhead ahead, float const* weights,
                std::size_t weights_stride, std::size_t records, float const* keep, float* result, std::size_t result_stride);
};

/// Of this processor and system; null where the general kernels are all there is, or while they are not wanted.
TileKernels const* tile_kernels();

/// For tests and benchmarks: false leaves the general kernels.
void allow_tiles(bool allowed);

}  // namespace pikv::kernels::host
