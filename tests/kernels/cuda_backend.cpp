#include <cuda_runtime_api.h>

#include <stdexcept>

#include "backend.hpp"
#include "kernels/cuda/memory.hpp"
#include "kernels/cuda/stream.hpp"
#include "kernels/split.hpp"

namespace pikv::kernels {
namespace {

using cuda::DeviceArray;

std::string why_no_gpu() {
  int count = 0;
  cudaError_t const result = cudaGetDeviceCount(&count);
  return result == cudaSuccess && count > 0 ? "" : std::string{"kernels on a GPU need one: "} + cudaGetErrorString(result);
}

/// A stream of its own, and arrays of host values on the device.
struct Device {
  CUstream_st* handle = [] {
    cudaStream_t made = nullptr;
    if (cudaStreamCreate(&made) != cudaSuccess) throw std::runtime_error("no stream");
    return made;
  }();
  cuda::CudaStream stream{handle};

  ~Device() { cudaStreamDestroy(handle); }
  template <class T>
  DeviceArray<T> hold(std::vector<T> const& host) {
    return {host, stream};
  }
};

struct DevicePartial {
  DeviceArray<float> sum, max, denom;

  DevicePartial(Device& device, Partial const& host) : sum{device.hold(host.sum)}, max{device.hold(host.max)}, denom{device.hold(host.denom)} {}
  PartialView view() const { return {sum.data(), max.data(), denom.data()}; }
  void copy_out(Partial& host) const {
    sum.copy_out(host.sum);
    max.copy_out(host.max);
    denom.copy_out(host.denom);
  }
};

/// The pool on the device. Only filled tokens are copied, so that the emulation reports a read of any other.
DeviceArray<std::byte> hold_pool(Device& device, Problem& problem) {
  PageLayout const& layout = problem.layout;
  PoolView const host = problem.pool();
  DeviceArray<std::byte> memory{problem.memory.size(), device.stream};
  for (std::size_t page = 0; page < problem.slots.size(); ++page) {
    std::size_t const bytes = static_cast<std::size_t>(problem.tokens[page]) * layout.head_dim * size_of(layout.dtype);
    for (std::byte const* half : {host.keys(problem.slots[page]), host.values(problem.slots[page])}) {
      for (std::int32_t head = 0; head < layout.kv_heads; ++head) {
        std::byte const* const from = half + head * layout.head_scalars() * size_of(layout.dtype);
        memory.copy_in({from, bytes}, static_cast<std::size_t>(from - host.base));
      }
    }
  }
  return memory;
}

Partial attend_on_device(Problem& problem, std::vector<float>* page_lse) {
  Device device;
  auto const memory = hold_pool(device, problem);
  auto const q = device.hold(problem.q);
  auto const row_offsets = device.hold(problem.row_offsets), page_offsets = device.hold(problem.page_offsets), slots = device.hold(problem.slots),
             first_position = device.hold(problem.first_position), tokens = device.hold(problem.tokens),
             row_position = device.hold(problem.row_position);
  PoolView const pool{memory.data(), problem.slot_bytes(), problem.layout};
  SplitPlan const split = split_plan(problem.plan(), problem.q_heads, problem.layout);
  auto const part = device.hold(split.part);
  auto const join = device.hold(split.join);
  AttendSplit const device_split{static_cast<std::int32_t>(part.size()), part.data(), static_cast<std::int32_t>(join.size()), join.data(),
                                 split.partial_rows};
  AttendPlan const plan{problem.plan().groups, row_offsets.data(), page_offsets.data(), slots.data(),
                        first_position.data(), tokens.data(),      row_position.data(), device_split};
  Partial out = unwritten_partial(problem);
  DevicePartial const device_out{device, out};
  DeviceArray<float> const device_lse{page_lse ? problem.lse_count() : 0, device.stream};
  cuda::attend(pool, plan, q.data(), problem.q_heads, problem.scale, device_out.view(), device_lse.data(), device.stream);
  device_out.copy_out(out);
  if (page_lse) {
    page_lse->resize(problem.lse_count());
    device_lse.copy_out(*page_lse);
  }
  device.stream.synchronize();
  return out;
}

void merge_on_device(Partial& into, Partial& part, std::int32_t rows, std::int32_t heads, std::int32_t d) {
  Device device;
  DevicePartial const device_into{device, into}, device_part{device, part};
  cuda::merge(device_into.view(), device_part.view(), rows, heads, d, device.stream);
  device_into.copy_out(into);
  device.stream.synchronize();
}

}  // namespace

Backend const cuda_backend{"cuda", why_no_gpu, attend_on_device, merge_on_device, &cuda_operations};

}  // namespace pikv::kernels
