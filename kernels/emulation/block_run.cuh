#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <string>
#include <vector>

namespace pikv::kernels::emulation {

struct BlockRun {
  dim3 blocks, threads;
  uint3 block;
  std::size_t dynamic_bytes;
  void (*call)(void const* arguments);
  void const* arguments;
  std::size_t argument_bytes;
};

void start_launch();
std::vector<unsigned> block_order(unsigned blocks);

/// Runs one block to its end. What went wrong, as a sentence without its end; empty: nothing.
std::string run_block(BlockRun const& run);

}  // namespace pikv::kernels::emulation
