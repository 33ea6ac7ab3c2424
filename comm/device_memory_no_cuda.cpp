#include "comm/device_memory.hpp"
#include "comm/error.hpp"

namespace pikv::comm {
namespace {

class NoGpu : public DeviceMemory {
 public:
  std::string why_absent() const override { return "this build has no CUDA; rebuild with -DPIKV_CUDA=ON"; }
  bool is_cuda() const override { return false; }
  std::byte* allocate(std::size_t) override { refuse(); }
  void free(std::byte*) noexcept override {}
  void pin(std::span<std::byte>) override { refuse(); }
  void unpin(std::byte*) noexcept override {}
  void copy_in(std::byte*, std::span<std::byte const>) override { refuse(); }
  void copy_out(std::span<std::byte>, std::byte const*) override { refuse(); }

 private:
  [[noreturn]] void refuse() const { throw InputError("there is no device memory: " + why_absent()); }
};

}  // namespace

DeviceMemory& gpu_memory() {
  static NoGpu gpu;
  return gpu;
}

std::string cuda_version() { return "not built in"; }

std::optional<GpusFound> gpus_found() { return std::nullopt; }

}  // namespace pikv::comm
