#include <cuda_runtime_api.h>

#include <stdexcept>

#include "backend.hpp"
#include "kernels/cuda/coded.hpp"
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

/// The pool on the device. Only filled tokens are copied, so that the emulation reports a read of any other; or whole pages.
DeviceArray<std::byte> hold_pool(Device& device, Problem& problem, bool filled_alone = true) {
  PageLayout const& layout = problem.layout;
  PoolView const host = problem.pool();
  DeviceArray<std::byte> memory{problem.memory.size(), device.stream};
  for (std::size_t page = 0; page < problem.slots.size(); ++page) {
    std::size_t const bytes = static_cast<std::size_t>(filled_alone ? problem.tokens[page] : layout.page_tokens) * layout.head_dim * size_of(layout.dtype);
    for (std::byte const* half : {host.keys(problem.slots[page]), host.values(problem.slots[page])}) {
      for (std::int32_t head = 0; head < layout.kv_heads; ++head) {
        std::byte const* const from = half + head * layout.head_scalars() * size_of(layout.dtype);
        memory.copy_in({from, bytes}, static_cast<std::size_t>(from - host.base));
      }
    }
  }
  return memory;
}

/// A problem's query and plan on the device, and its result.
struct DeviceAttend {
  Problem const& problem;
  Device& device;
  SplitPlan const split = split_plan(problem.plan(), problem.q_heads, problem.layout);
  DeviceArray<float> const q = device.hold(problem.q);
  DeviceArray<std::int32_t> const row_offsets = device.hold(problem.row_offsets), page_offsets = device.hold(problem.page_offsets),
                                  slots = device.hold(problem.slots), first_position = device.hold(problem.first_position),
                                  tokens = device.hold(problem.tokens), row_position = device.hold(problem.row_position);
  DeviceArray<AttendPart> const part = device.hold(split.part);
  DeviceArray<AttendJoin> const join = device.hold(split.join);
  Partial host_out = unwritten_partial(problem);
  DevicePartial const out{device, host_out};
  DeviceArray<float> const page_lse;

  DeviceAttend(Problem const& of, Device& on, bool with_lse) : problem{of}, device{on}, page_lse{with_lse ? of.lse_count() : 0, on.stream} {}
  AttendPlan plan() const {
    AttendSplit const on_device{static_cast<std::int32_t>(part.size()), part.data(), static_cast<std::int32_t>(join.size()), join.data(),
                                split.partial_rows, split.rows};
    return {problem.plan().groups, row_offsets.data(), page_offsets.data(), slots.data(),
            first_position.data(), tokens.data(),      row_position.data(), on_device};
  }
  Partial result(std::vector<float>* lse) {
    out.copy_out(host_out);
    if (lse) {
      lse->resize(problem.lse_count());
      page_lse.copy_out(*lse);
    }
    device.stream.synchronize();
    return host_out;
  }
};

Partial attend_on_device(Problem& problem, std::vector<float>* page_lse) {
  Device device;
  auto const memory = hold_pool(device, problem);
  DeviceAttend run{problem, device, page_lse != nullptr};
  PoolView const pool{memory.data(), problem.slot_bytes(), problem.layout};
  cuda::attend(pool, run.plan(), run.q.data(), problem.q_heads, problem.scale, run.out.view(), run.page_lse.data(), device.stream);
  return run.result(page_lse);
}

/// The coded pages of a problem on the device, and nothing else of its memory.
struct DeviceCoded {
  CodedProblem& problem;
  cuda::DeviceCodedLayout layout;
  DeviceArray<std::byte> memory;

  DeviceCoded(CodedProblem& of, Device& device)
      : problem{of}, layout{of.layout, device.stream}, memory{(of.plain.slots.size() + 2) * of.slot_bytes, device.stream} {}
  cuda::DeviceCodedPool pool() const { return {memory.data(), problem.slot_bytes, &layout}; }
  void copy_in() {
    for (std::int32_t slot : problem.plain.slots)
      memory.copy_in({problem.pool().page(slot), problem.layout.bytes}, static_cast<std::size_t>(slot) * problem.slot_bytes);
  }
};

Partial attend_coded_on_device(CodedProblem& problem, std::vector<float>* page_lse) {
  Device device;
  DeviceCoded coded{problem, device};
  coded.copy_in();
  DeviceAttend run{problem.rebuilt, device, page_lse != nullptr};
  cuda::attend_coded(coded.pool(), run.plan(), run.q.data(), problem.plain.q_heads, problem.plain.scale, run.out.view(), run.page_lse.data(),
                     device.stream);
  return run.result(page_lse);
}

void merge_on_device(Partial& into, Partial& part, std::int32_t rows, std::int32_t heads, std::int32_t d) {
  Device device;
  DevicePartial const device_into{device, into}, device_part{device, part};
  cuda::merge(device_into.view(), device_part.view(), rows, heads, d, device.stream);
  device_into.copy_out(into);
  device.stream.synchronize();
}

bool has_own_basis(CodedLayout const& layout) { return layout.k[0].basis != 0 || layout.v[0].basis != 0; }

void encode_on_device(CodedProblem& problem) {
  if (has_own_basis(problem.layout)) {   // such pages are encoded on the host
    for (std::int32_t slot : problem.plain.slots) host::encode_page(problem.plain.pool(), slot, problem.layout, problem.pool().page(slot));
    return;
  }
  Device device;
  auto const plain = hold_pool(device, problem.plain, false);
  auto const slots = device.hold(problem.plain.slots);
  DeviceCoded coded{problem, device};
  cuda::encode_pages({plain.data(), problem.plain.slot_bytes(), problem.plain.layout}, coded.pool(),
                     {static_cast<std::int32_t>(slots.size()), slots.data(), slots.data()}, device.stream);
  std::vector<std::byte> memory(coded.memory.size());
  coded.memory.copy_out(memory);
  device.stream.synchronize();
  for (std::int32_t slot : problem.plain.slots)
    std::copy_n(memory.data() + static_cast<std::size_t>(slot) * problem.slot_bytes, problem.layout.bytes, problem.pool().page(slot));
}

void decode_on_device(CodedProblem& problem) {
  Device device;
  DeviceCoded coded{problem, device};
  coded.copy_in();
  auto const slots = device.hold(problem.plain.slots);
  DeviceArray<std::byte> const rebuilt{problem.rebuilt.memory.size(), device.stream};
  cuda::decode_pages(coded.pool(), {rebuilt.data(), problem.rebuilt.slot_bytes(), problem.rebuilt.layout},
                     {static_cast<std::int32_t>(slots.size()), slots.data(), slots.data()}, device.stream);
  rebuilt.copy_out(problem.rebuilt.memory);
  device.stream.synchronize();
}

}  // namespace

Backend const cuda_backend{"cuda", why_no_gpu, attend_on_device, merge_on_device, encode_on_device, decode_on_device, attend_coded_on_device, &cuda_operations};

}  // namespace pikv::kernels
