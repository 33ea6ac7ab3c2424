#include <mutex>
#include <vector>

#include "kernels/emulation/emulation.hpp"
#include "tests/device_under_test.hpp"

namespace pikv::test {

namespace {

class EmulatedMemory : public comm::DeviceMemory {
 public:
  EmulatedMemory() { kernels::emulation::fence_device_memory(); }

  std::string why_absent() const override { return {}; }
  bool is_cuda() const override { return false; }   // no library but ours may be handed its addresses
  std::byte* allocate(std::size_t bytes) override {
    std::scoped_lock const lock{mutex_};
    std::byte* const at = device_->allocate(bytes);
    device_->copy_in(at, std::vector<std::byte>(bytes));
    device_->wait();
    return at;
  }
  void free(std::byte* device) noexcept override {
    std::scoped_lock const lock{mutex_};
    device_->free(device);
  }
  void pin(std::span<std::byte>) override {}
  void unpin(std::byte*) noexcept override {}
  void copy_in(std::byte* device, std::span<std::byte const> host) override {
    std::scoped_lock const lock{mutex_};
    device_->copy_in(device, host);
    device_->wait();
  }
  void copy_out(std::span<std::byte> host, std::byte const* device) override {
    std::scoped_lock const lock{mutex_};
    device_->copy_out(host, device);
  }

 private:
  std::mutex mutex_;   // a transport's thread copies too
  std::unique_ptr<kernels::Device> device_ = kernels::cuda::make_device();
};

}  // namespace

comm::DeviceMemory& device_memory() {
  static EmulatedMemory memory;
  return memory;
}

}  // namespace pikv::test
