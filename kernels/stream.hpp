#pragma once

namespace pikv::kernels {

/// An order of work on one device. The host stream runs each call inline, so its work is done on return.
/// A CUDA build derives one that holds a cudaStream_t.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual void synchronize() {}
};

}  // namespace pikv::kernels
