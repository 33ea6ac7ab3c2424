#include "kernels/cuda/check.cuh"
#include "kernels/cuda/memory.hpp"
#include "kernels/cuda/stream.hpp"

namespace pikv::kernels::cuda {

DeviceBuffer::DeviceBuffer(std::size_t bytes, Stream& stream) : stream_{&stream}, bytes_{bytes} {
  if (bytes == 0) return;
  void* data = nullptr;
  check(cudaMallocAsync(&data, bytes, handle_of(stream)), "allocating device memory");
  data_ = static_cast<std::byte*>(data);
}

DeviceBuffer::~DeviceBuffer() {
  if (data_) static_cast<void>(cudaFreeAsync(data_, handle_of(*stream_)));
}

void DeviceBuffer::copy_in(std::span<std::byte const> host, std::size_t at) {
  check(cudaMemcpyAsync(data_ + at, host.data(), host.size(), cudaMemcpyHostToDevice, handle_of(*stream_)), "copying to the GPU");
  stream_->synchronize();   // CUDA may read the processor's memory after the call has returned
}

void DeviceBuffer::copy_out(std::span<std::byte> host) const {
  check(cudaMemcpyAsync(host.data(), data_, host.size(), cudaMemcpyDeviceToHost, handle_of(*stream_)), "copying from the GPU");
}

}  // namespace pikv::kernels::cuda
