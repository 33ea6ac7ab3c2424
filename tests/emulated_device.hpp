#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "comm/device_memory.hpp"
#include "kernels/cuda/device.hpp"
#include "kernels/emulation/emulation.hpp"

namespace pikv::test {

/// The emulated GPU's memory for a transport (kernels/emulation), fenced: the processor cannot touch it.
class EmulatedMemory : public comm::DeviceMemory {
 public:
  EmulatedMemory() { kernels::emulation::fence_device_memory(); }

  std::string why_absent() const override { return {}; }
  bool is_cuda() const override { return false; }   // no library but ours may be handed its addresses
  std::byte* allocate(std::size_t bytes) override {
    allocated_ += bytes;
    std::byte* const at = device_->allocate(bytes);
    device_->copy_in(at, std::vector<std::byte>(bytes));
    return at;
  }
  void free(std::byte* device) noexcept override { device_->free(device); }
  void pin(std::span<std::byte>) override {}
  void unpin(std::byte*) noexcept override {}
  void copy_in(std::byte* device, std::span<std::byte const> host) override { device_->copy_in(device, host); }
  void copy_out(std::span<std::byte> host, std::byte const* device) override { device_->copy_out(host, device); }

  std::size_t allocated() const { return allocated_; }   // ever

 private:
  std::size_t allocated_ = 0;
  std::unique_ptr<kernels::Device> device_ = kernels::cuda::make_device();
};

}  // namespace pikv::test
