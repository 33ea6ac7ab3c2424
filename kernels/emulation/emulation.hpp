#pragma once

#include <cstdint>

// A small CUDA device on the CPU, for tests: what it shows is that indices, bounds, barriers and shuffles are right, not how fast a kernel is.
//
// To add a kernel with its emulated test:
// 1. Write kernels/cuda/NAME.cu as plain CUDA C++, without #ifdef. Start it by launch() (kernels/cuda/launch.cuh); dynamic shared memory comes
//    from dynamic_shared<T>() (<dynamic_shared.cuh>), static shared memory from `__shared__ T x[n];` in a kernel. No global variables but constants.
//    What a GPU can do by mma, asynchronous copies or a library also has a plain path: kernels/cuda/gpu holds what the emulation replaces.
// 2. Name it in kernels/cuda/sources.cmake, so that nvcc and the emulation compile it, and its host function in kernels/cuda/no_cuda.cpp.
// 3. Make the host version's tests cases of tests/kernels/NAME_cases.cpp, which take a Backend (tests/kernels/backend.hpp) and mostly call its
//    Operations (operations.hpp); name it in tests/kernels/CMakeLists.txt and in tests/kernels/emulation/CMakeLists.txt. The same cases and
//    tolerances then run on the host, emulated, and on a GPU.
// 4. Add mutations of it, one line each, to tests/kernels/emulation/mutations.py: each must make those cases fail.
//
// How it works. A .cu file is compiled as C++20 with include/ first in the search path, whose cuda_runtime.h stands for the toolkit's; its types, and
// cuda_fp16.h, cuda_bf16.h and cuda_fp8.h, are the toolkit's own. Blocks run one after the other, in a seeded order, on the thread that launches;
// the threads of a block are fibers, switched where they wait for each other, in a seeded order too. The compiler's instrumentation for the thread
// sanitizer (-fsanitize=thread, without its library) calls access.cpp for every load and store of a kernel. Reported, as a failed launch
// whose cudaGetErrorString is one sentence with block and thread:
//   an access outside an allocation, to freed or to host memory, or misaligned; a read of global or shared memory that nothing has written;
//   a race: two threads of a launch, at least one writes, not both by atomics, and no barrier (or __syncwarp, within a warp) between;
//   host memory that is to be copied to the device and changes before its stream was waited for (what is copied from it to pinned memory comes only then);
//   a barrier that not all threads reach, or that they reach at different lines; a warp function that a lane of its mask does not reach, whose
//   mask leaves out the caller, or that reads a lane outside its mask.
// What it does not see: memcpy of more than 16 bytes and calls into the C library; memory ordering weaker than a barrier (__threadfence does
// nothing); registers, occupancy and time.
namespace pikv::kernels::emulation {

/// Chooses the order in which threads and blocks run from here on. 0: by number.
void set_seed(std::uint64_t seed);

/// From here on the processor cannot touch device memory, as with a GPU (a fault ends the program), but in kernels, copies and fills.
void fence_device_memory();

/// From here on an allocation of pinned host memory that is larger fails, as where the system grants a process no more.
void limit_pinned_memory(std::size_t bytes);

}  // namespace pikv::kernels::emulation
