#pragma once

#include <cstdint>

#include "kernels/attend.hpp"
#include "kernels/coded.hpp"
#include "kernels/cuda/memory.hpp"

namespace pikv::kernels::cuda {

/// A CodedLayout with its heads and maps copied to the device, once. The stream outlives it.
class DeviceCodedLayout {
 public:
  DeviceCodedLayout(CodedLayout const& host, Stream& stream);

  CodedLayout const& view() const { return view_; }   // for kernels: its pointers are the device's
  std::int32_t width(bool keys) const { return keys ? key_width_ : value_width_; }   // the largest of any head
  bool has_own_basis() const { return own_basis_; }

 private:
  DeviceArray<float> matrices_;
  DeviceArray<LinearMap> maps_;
  DeviceArray<CodedStrip> strips_;
  DeviceArray<CodedHead> heads_;
  CodedLayout view_;
  std::int32_t key_width_ = 0, value_width_ = 0;
  bool own_basis_ = false;
};

/// Coded pages in device memory: slot s starts at base + s * slot_bytes.
struct DeviceCodedPool {
  std::byte* base = nullptr;
  std::size_t slot_bytes = 0;   // >= layout.bytes, a multiple of 64
  DeviceCodedLayout const* layout = nullptr;
};

/// Page n goes from slot from[n] of one pool to slot to[n] of another; the arrays are in device memory.
struct SlotPairs {
  std::int32_t count = 0;
  std::int32_t const* from = nullptr;
  std::int32_t const* to = nullptr;
};

/// As host::encode_page and host::decode_page, for many pages: pools and slots in device memory; queued, not finished, on return; stream is a
/// CudaStream. A layout with own bases is only decoded and attended here; encode_pages throws: their eigenvectors are found on the host.
void encode_pages(PoolView const& from, DeviceCodedPool const& to, SlotPairs const& slots, Stream& stream);
void decode_pages(DeviceCodedPool const& from, PoolView const& to, SlotPairs const& slots, Stream& stream);

/// As host::attend_coded, by plan.split; every pointer, those of the plan included, in device memory; queued, not finished, on return; stream is a
/// CudaStream. head_dim <= 512. The result depends neither on the order in which blocks run nor on what other groups are in the plan.
void attend_coded(DeviceCodedPool const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out,
                  float* page_lse, Stream& stream);

}  // namespace pikv::kernels::cuda
