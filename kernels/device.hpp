#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "kernels/attend.hpp"
#include "kernels/coded.hpp"
#include "kernels/gate.hpp"
#include "kernels/linear.hpp"
#include "kernels/partial.hpp"
#include "kernels/pool.hpp"

namespace pikv::kernels {

/// How coded pages are stored, where a device's kernels read it. What the layout points to outlives it, and so does the device.
class CodedForm {
 public:
  explicit CodedForm(CodedLayout const& layout) : layout_{layout} {}
  virtual ~CodedForm() = default;
  CodedLayout const& layout() const { return layout_; }   // in host memory

 private:
  CodedLayout layout_;
};

/// Coded pages of one form in a device's memory: slot s starts at base + s * slot_bytes.
struct FormedPool {
  std::byte* base = nullptr;
  std::size_t slot_bytes = 0;   // >= form->layout().bytes, a multiple of 64
  CodedForm const* form = nullptr;
};

/// Where a step is computed: this machine's processors, or a GPU. It has the operations of a step, each as the header of its name describes it.
/// Numbers and pages lie in the device's memory; lists that a rank makes for one call (a plan, slots, positions, where rows begin) in the processor's. What
/// a call reads of those may change when it returns. Work is done in the order of the calls; wait(), copy_out and checksums return when it is done.
/// Failures of a GPU: std::runtime_error. A GPU's is for one thread at a time.
class Device {
 public:
  virtual ~Device() = default;
  /// Its memory is the processor's, and work is done when a call returns.
  virtual bool is_host() const = 0;

  /// The same for all ranks of a host that share it; and of its memory what could be allocated now. Of the host neither is known here: "" and 0.
  virtual std::string identity() const = 0;
  virtual std::uint64_t free_bytes() const = 0;
  /// Aligned to 256 bytes; nothing is written there yet. Null for 0 bytes.
  virtual std::byte* allocate(std::size_t bytes) = 0;
  virtual void free(std::byte* at) noexcept = 0;
  /// The processor's memory for send() and fetch(): a GPU's is pinned, or plain where the system grants no more. As allocate().
  virtual std::byte* allocate_host(std::size_t bytes) = 0;
  virtual void free_host(std::byte* at) noexcept = 0;
  /// The most at any time of what should have been pinned and was not: its copies are slower.
  virtual std::uint64_t unpinned_bytes() const = 0;
  /// Of any memory of the processor's, which may change on return. Who reads the device's memory past it (a transport) must wait first.
  virtual void copy_in(std::byte* to, std::span<std::byte const> host) = 0;
  virtual void copy_out(std::span<std::byte> host, std::byte const* from) = 0;
  /// With memory of allocate_host(), which is read or written at any time up to the next wait.
  virtual void send(std::byte* to, std::span<std::byte const> host) = 0;
  virtual void fetch(std::span<std::byte> host, std::byte const* from) = 0;
  virtual void wait() = 0;
  /// How often the processor has waited for it, in any call but free_host(), which waits for copies that may be under way, and form().
  virtual std::uint64_t waits() const = 0;

  virtual void append(PoolView const& pool, std::int32_t const* slots, std::int32_t const* at, float const* k, float const* v, std::int32_t rows) = 0;
  virtual void attend(PoolView const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* page_lse) = 0;
  virtual void merge(PartialView into, PartialView part, std::int32_t rows, std::int32_t heads, std::int32_t d) = 0;
  virtual void finish(PartialView part, float* out, std::int32_t rows, std::int32_t heads, std::int32_t d) = 0;

  virtual std::unique_ptr<CodedForm const> form(CodedLayout const& layout) = 0;
  virtual void attend_coded(FormedPool const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* page_lse) = 0;
  virtual void encode(PoolView const& from, std::int32_t slot, CodedForm const& form, std::byte* to) = 0;
  virtual void decode(CodedForm const& form, std::byte const* from, PoolView const& to, std::int32_t slot) = 0;

  /// xxh3-64 of `slices` slices of bytes that begin at a multiple of 16. False: this device takes none of such slices.
  [[nodiscard]] virtual bool checksums(std::byte const* at, std::size_t slice_bytes, std::size_t slices, std::uint64_t* out) = 0;

  virtual void rms_norm(float const* x, float const* weight, float eps, float* y, std::int32_t rows, std::int32_t n) = 0;
  virtual void add(float* y, float const* x, std::size_t count) = 0;
  virtual void linear(float const* x, MatrixView const& w, float* y, std::int32_t rows) = 0;
  virtual void rotary_table(std::int32_t const* positions, std::int32_t rows, std::int32_t d, float theta, float* cos, float* sin) = 0;
  virtual void rotary(float* x, float const* cos, float const* sin, std::int32_t rows, std::int32_t heads, std::int32_t d) = 0;
  virtual void gate(float const* logits, std::int32_t rows, std::int32_t experts, std::int32_t k, GateWeights rule, std::int32_t* ids, float* weights,
                    float* probability) = 0;
  virtual void swiglu(float* gate, float const* up, std::size_t count) = 0;
  virtual void gather_rows(std::span<float const* const> from, std::int32_t n, float* out) = 0;
  virtual void add_weighted(float* x, float const* weights, float const* const* y, std::int32_t rows, std::int32_t k, std::int32_t n) = 0;
};

/// This machine's processors. From any thread.
Device& host_device();

}  // namespace pikv::kernels
