#pragma once

#include "kernels/stream.hpp"

struct CUstream_st;   // what a cudaStream_t points to, so that this header needs no CUDA

namespace pikv::kernels::cuda {

/// A Stream over a cudaStream_t, which it does not own.
class CudaStream final : public Stream {
 public:
  explicit CudaStream(CUstream_st* handle) : handle_{handle} {}
  void synchronize() override;   // throws std::runtime_error if anything queued has failed
  CUstream_st* handle() const { return handle_; }

 private:
  CUstream_st* handle_;
};

/// The handle of a stream that must be a CudaStream; else throws std::runtime_error.
CUstream_st* handle_of(Stream& stream);

}  // namespace pikv::kernels::cuda
