#include <cuda_runtime_api.h>

#include <stdexcept>

#include "backend.hpp"
#include "kernels/cuda/memory.hpp"
#include "kernels/cuda/stream.hpp"

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

Partial attend_on_device(Problem& problem, std::vector<float>* page_lse) {
  Device device;
  auto const memory = device.hold(problem.memory);
  auto const q = device.hold(problem.q);
  auto const row_offsets = device.hold(problem.row_offsets), page_offsets = device.hold(problem.page_offsets), slots = device.hold(problem.slots),
             first_position = device.hold(problem.first_position), tokens = device.hold(problem.tokens),
             row_position = device.hold(problem.row_position);
  PoolView const pool{memory.data(), problem.slot_bytes(), problem.layout};
  AttendPlan const plan{problem.plan().groups, row_offsets.data(), page_offsets.data(), slots.data(),
                        first_position.data(), tokens.data(),      row_position.data()};
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

Backend const cuda_backend{"cuda", why_no_gpu, attend_on_device, merge_on_device};

}  // namespace pikv::kernels
