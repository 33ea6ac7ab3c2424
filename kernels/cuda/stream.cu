#include "kernels/cuda/check.cuh"
#include "kernels/cuda/stream.hpp"

namespace pikv::kernels::cuda {

void CudaStream::synchronize() { check(cudaStreamSynchronize(handle_), "waiting for the GPU"); }

CUstream_st* handle_of(Stream& stream) {
  auto* of_gpu = dynamic_cast<CudaStream*>(&stream);
  if (!of_gpu) throw std::runtime_error("a CUDA kernel was handed a host stream; hand it a CudaStream");
  return of_gpu->handle();
}

}  // namespace pikv::kernels::cuda
