#include "kernels/device.hpp"

#include <cstring>
#include <new>

#include "kernels/append.hpp"
#include "kernels/merge.hpp"
#include "kernels/norm.hpp"
#include "kernels/rotary.hpp"
#include "kernels/rows.hpp"
#include "kernels/swiglu.hpp"

namespace pikv::kernels {
namespace {

constexpr std::align_val_t alignment{256};

class HostDevice final : public Device {
 public:
  bool is_host() const override { return true; }

  std::string identity() const override { return {}; }
  std::uint64_t free_bytes() const override { return 0; }
  std::byte* allocate(std::size_t bytes) override { return bytes == 0 ? nullptr : static_cast<std::byte*>(::operator new(bytes, alignment)); }
  void free(std::byte* at) noexcept override { ::operator delete(at, alignment); }
  std::byte* allocate_host(std::size_t bytes) override { return allocate(bytes); }
  void free_host(std::byte* at) noexcept override { free(at); }
  std::uint64_t unpinned_bytes() const override { return 0; }   // none was to be
  void copy_in(std::byte* to, std::span<std::byte const> host) override { copy(to, host.data(), host.size()); }
  void copy_out(std::span<std::byte> host, std::byte const* from) override { copy(host.data(), from, host.size()); }
  void send(std::byte* to, std::span<std::byte const> host) override { copy_in(to, host); }
  void fetch(std::span<std::byte> host, std::byte const* from) override { copy_out(host, from); }
  void wait() override {}
  std::uint64_t waits() const override { return 0; }

  void append(PoolView const& pool, std::int32_t const* slots, std::int32_t const* at, float const* k, float const* v, std::int32_t rows) override {
    host::append(pool, slots, at, k, v, rows, stream_);
  }
  void attend(PoolView const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* page_lse) override {
    host::attend(pool, plan, q, q_heads, scale, out, page_lse, stream_);
  }
  void merge(PartialView into, PartialView part, std::int32_t rows, std::int32_t heads, std::int32_t d) override {
    host::merge(into, part, rows, heads, d, stream_);
  }
  void finish(PartialView part, float* out, std::int32_t rows, std::int32_t heads, std::int32_t d) override { host::finish(part, out, rows, heads, d, stream_); }

  std::unique_ptr<CodedForm const> form(CodedLayout const& layout) override { return std::make_unique<CodedForm const>(layout); }
  void attend_coded(FormedPool const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* page_lse) override {
    host::attend_coded({pool.base, pool.slot_bytes, pool.form->layout()}, plan, q, q_heads, scale, out, page_lse, stream_);
  }
  void encode(PoolView const& from, std::int32_t slot, CodedForm const& form, std::byte* to) override { host::encode_page(from, slot, form.layout(), to); }
  void decode(CodedForm const& form, std::byte const* from, PoolView const& to, std::int32_t slot) override { host::decode_page(form.layout(), from, to, slot); }

  bool checksums(std::byte const*, std::size_t, std::size_t, std::uint64_t*) override { return false; }   // whoever asks can read the bytes

  void rms_norm(float const* x, float const* weight, float eps, float* y, std::int32_t rows, std::int32_t n) override {
    host::rms_norm(x, weight, eps, y, rows, n, stream_);
  }
  void add(float* y, float const* x, std::size_t count) override { host::add(y, x, count, stream_); }
  void linear(float const* x, MatrixView const& w, float* y, std::int32_t rows) override { host::linear(x, w, y, rows, stream_); }
  void rotary_table(std::int32_t const* positions, std::int32_t rows, std::int32_t d, float theta, float* cos, float* sin) override {
    host::rotary_table(positions, rows, d, theta, cos, sin, stream_);
  }
  void rotary(float* x, float const* cos, float const* sin, std::int32_t rows, std::int32_t heads, std::int32_t d) override {
    host::rotary(x, cos, sin, rows, heads, d, stream_);
  }
  void gate(float const* logits, std::int32_t rows, std::int32_t experts, std::int32_t k, GateWeights rule, std::int32_t* ids, float* weights,
            float* probability) override {
    host::gate(logits, rows, experts, k, rule, ids, weights, probability, stream_);
  }
  void swiglu(float* gate, float const* up, std::size_t count) override { host::swiglu(gate, up, count, stream_); }
  void gather_rows(std::span<float const* const> from, std::int32_t n, float* out) override {
    host::gather_rows(from.data(), static_cast<std::int32_t>(from.size()), n, out, stream_);
  }
  void add_weighted(float* x, float const* weights, float const* const* y, std::int32_t rows, std::int32_t k, std::int32_t n) override {
    host::add_weighted(x, weights, y, rows, k, n, stream_);
  }

 private:
  static void copy(std::byte* to, std::byte const* from, std::size_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }

  Stream stream_;   // has no state
};

}  // namespace

Device& host_device() {
  static HostDevice host;
  return host;
}

}  // namespace pikv::kernels
