#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

#include "kernels/cuda/stream.hpp"
#include "operations.hpp"

namespace pikv::kernels {
namespace {

void check(cudaError_t result) {
  if (result != cudaSuccess) throw std::runtime_error(std::string{"device memory of a test: "} + cudaGetErrorString(result));
}

std::byte* take(std::size_t bytes) {
  void* at = nullptr;
  check(cudaMalloc(&at, bytes));
  return static_cast<std::byte*>(at);
}

void copy(void* to, void const* from, std::size_t bytes) {
  if (bytes > 0) check(cudaMemcpy(to, from, bytes, cudaMemcpyDefault));
}

Stream& stream() {   // of the default stream, which the copies wait for
  static cuda::CudaStream only{nullptr};
  return only;
}

}  // namespace

Operations const cuda_operations{
    .take = take,
    .give_back = [](std::byte* at) { static_cast<void>(cudaFree(at)); },
    .copy = copy,
    .stream = stream,
    .on_each_path = [](std::function<void()> const& body) { body(); },
    .finish = cuda::finish,
    .rms_norm = cuda::rms_norm,
    .add = cuda::add,
    .gather_rows = cuda::gather_rows,
    .add_weighted = cuda::add_weighted,
    .rotary_table = cuda::rotary_table,
    .rotary = cuda::rotary,
    .append = cuda::append,
    .swiglu = cuda::swiglu,
    .gate = cuda::gate,
    .linear = cuda::linear,
    .linear_tiled = cuda::linear_tiled,
    .summarise = cuda::summarise,
    .upper_bounds = cuda::upper_bounds,
    .mean_logits = cuda::mean_logits,
    .gather = cuda::gather,
    .scatter = cuda::scatter,
    .checksum = cuda::checksum,
};

}  // namespace pikv::kernels
