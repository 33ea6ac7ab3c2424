#include "kernels/cuda/device.hpp"

#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "kernels/append.hpp"
#include "kernels/cuda/check.cuh"
#include "kernels/cuda/coded.hpp"
#include "kernels/cuda/host_memory.hpp"
#include "kernels/cuda/stream.hpp"
#include "kernels/merge.hpp"
#include "kernels/norm.hpp"
#include "kernels/pages.hpp"
#include "kernels/rotary.hpp"
#include "kernels/rows.hpp"
#include "kernels/split.hpp"
#include "kernels/swiglu.hpp"

namespace pikv::kernels::cuda {
namespace {

class OwnedStream {
 public:
  OwnedStream() { check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "making a stream on the GPU"); }
  OwnedStream(OwnedStream const&) = delete;
  ~OwnedStream() { static_cast<void>(cudaStreamDestroy(handle_)); }
  cudaStream_t handle() const { return handle_; }

 private:
  cudaStream_t handle_ = nullptr;
};

class DeviceForm final : public CodedForm {
 public:
  DeviceForm(CodedLayout const& host, Stream& stream) : CodedForm{host}, on_device_{host, stream} {}
  DeviceCodedLayout const& on_device() const { return on_device_; }

 private:
  DeviceCodedLayout on_device_;
};

DeviceCodedLayout const& on_device(CodedForm const& form) {
  auto const* const ours = dynamic_cast<DeviceForm const*>(&form);
  if (ours == nullptr) throw std::logic_error("a GPU was handed a form of coded pages that another device made");
  return ours->on_device();
}

/// Lists of the processor's on their way to a call: laid out one after the other, then copied in one go to memory that the calls of a stream use in turn.
/// They may change once send() returns.
class Lists {
 public:
  explicit Lists(Device& device) : device_{device} {}
  Lists(Lists const&) = delete;
  ~Lists() { device_.free(memory_); }

  void clear() { host_.clear(); }
  /// Room for results. Its place, for at().
  template <class T>
  std::size_t room(std::size_t count) {
    std::size_t const place = (host_.size() + 15) / 16 * 16;
    host_.resize(place + count * sizeof(T));
    return place;
  }
  template <class T>
  std::size_t add(T const* list, std::size_t count) {
    std::size_t const place = room<T>(count);
    if (count > 0) std::memcpy(host_.data() + place, list, count * sizeof(T));
    return place;
  }
  void send() {
    if (host_.size() > room_) {
      device_.free(std::exchange(memory_, nullptr));
      room_ = 0;
      memory_ = device_.allocate(2 * host_.size());
      room_ = 2 * host_.size();
    }
    device_.copy_in(memory_, host_);
  }
  template <class T>
  T* at(std::size_t place) const {
    return reinterpret_cast<T*>(memory_ + place);
  }

 private:
  Device& device_;
  std::vector<std::byte> host_;
  std::byte* memory_ = nullptr;
  std::size_t room_ = 0;
};

class CudaDevice final : public Device {
 public:
  CudaDevice() : stream_{queue_.handle()}, lists_{*this} {
    int gpu = 0;
    cudaMemPool_t pool = nullptr;
    std::uint64_t kept = std::numeric_limits<std::uint64_t>::max();   // else what kernels take for a call goes back to the driver with each wait
    check(cudaGetDevice(&gpu), "asking for the current GPU");
    check(cudaDeviceGetDefaultMemPool(&pool, gpu), "asking for the GPU's memory pool");
    check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &kept), "keeping the GPU's memory pool");
  }

  ~CudaDevice() override { static_cast<void>(cudaStreamSynchronize(stream_.handle())); }   // before memory goes that a copy may be reading

  bool is_host() const override { return false; }

  std::string identity() const override {
    int gpu = 0;
    cudaDeviceProp properties{};
    check(cudaGetDevice(&gpu), "asking for the current GPU");
    check(cudaGetDeviceProperties(&properties, gpu), "asking which GPU it is");
    return {properties.uuid.bytes, sizeof properties.uuid.bytes};   // slices of one GPU, which share its place on the bus, have one each
  }
  std::uint64_t free_bytes() const override {
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "asking for the GPU's free memory");
    return free;
  }
  std::byte* allocate(std::size_t bytes) override {
    void* at = nullptr;
    if (bytes > 0) check(cudaMallocAsync(&at, bytes, stream_.handle()), "allocating device memory");
    return static_cast<std::byte*>(at);
  }
  void free(std::byte* at) noexcept override {
    if (at != nullptr) static_cast<void>(cudaFreeAsync(at, stream_.handle()));
  }
  std::byte* allocate_host(std::size_t bytes) override { return host_memory_.allocate(bytes); }
  void free_host(std::byte* at) noexcept override {
    if (at == nullptr) return;
    static_cast<void>(cudaStreamSynchronize(stream_.handle()));   // a copy may be under way
    host_memory_.free(at);
  }
  std::uint64_t unpinned_bytes() const override { return host_memory_.most_plain_bytes(); }
  void copy_in(std::byte* to, std::span<std::byte const> host) override {
    if (host.empty()) return;
    if (staged_.takes(host.size())) {
      if (!staged_.has_room(host.size())) wait();
      return send(to, {staged_.put(host), host.size()});
    }
    send(to, host);
    wait();   // CUDA may read the processor's memory after the call has returned
  }
  void copy_out(std::span<std::byte> host, std::byte const* from) override {
    fetch(host, from);
    wait();
  }
  void send(std::byte* to, std::span<std::byte const> host) override {
    if (!host.empty()) check(cudaMemcpyAsync(to, host.data(), host.size(), cudaMemcpyHostToDevice, stream_.handle()), "copying to the GPU");
  }
  void fetch(std::span<std::byte> host, std::byte const* from) override {
    if (!host.empty()) check(cudaMemcpyAsync(host.data(), from, host.size(), cudaMemcpyDeviceToHost, stream_.handle()), "copying from the GPU");
  }
  void wait() override {
    stream_.synchronize();
    staged_.clear();
    ++waits_;
  }
  std::uint64_t waits() const override { return waits_; }

  void append(PoolView const& pool, std::int32_t const* slots, std::int32_t const* at, float const* k, float const* v, std::int32_t rows) override {
    auto const count = static_cast<std::size_t>(rows);
    lists_.clear();
    std::size_t const of_slots = lists_.add(slots, count), of_at = lists_.add(at, count);
    lists_.send();
    cuda::append(pool, lists_.at<std::int32_t>(of_slots), lists_.at<std::int32_t>(of_at), k, v, rows, stream_);
  }
  void attend(PoolView const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* page_lse) override {
    cuda::attend(pool, sent(plan, q_heads, pool.layout), q, q_heads, scale, out, page_lse, stream_);
  }
  void merge(PartialView into, PartialView part, std::int32_t rows, std::int32_t heads, std::int32_t d) override {
    cuda::merge(into, part, rows, heads, d, stream_);
  }
  void finish(PartialView part, float* out, std::int32_t rows, std::int32_t heads, std::int32_t d) override { cuda::finish(part, out, rows, heads, d, stream_); }

  std::unique_ptr<CodedForm const> form(CodedLayout const& layout) override { return std::make_unique<DeviceForm const>(layout, stream_); }
  void attend_coded(FormedPool const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* page_lse) override {
    CodedLayout const& layout = pool.form->layout();
    AttendPlan const on_gpu = sent(plan, q_heads, {DType::bf16, layout.kv_heads, layout.page_tokens, layout.head_dim});
    cuda::attend_coded({pool.base, pool.slot_bytes, &on_device(*pool.form)}, on_gpu, q, q_heads, scale, out, page_lse, stream_);
  }
  void encode(PoolView const& from, std::int32_t slot, CodedForm const& form, std::byte* to) override {
    if (on_device(form).has_own_basis()) return encode_on_host(from, slot, form, to);
    cuda::encode_pages(from, {to, form.layout().bytes, &on_device(form)}, from_and_to(slot, 0), stream_);
  }
  void decode(CodedForm const& form, std::byte const* from, PoolView const& to, std::int32_t slot) override {
    cuda::decode_pages({const_cast<std::byte*>(from), form.layout().bytes, &on_device(form)}, to, from_and_to(0, slot), stream_);
  }

  bool checksums(std::byte const* at, std::size_t slice_bytes, std::size_t slices, std::uint64_t* out) override {
    if (slice_bytes < least_checksum_bytes || slice_bytes % 4 != 0) return false;
    std::int32_t const slot = 0;
    lists_.clear();
    std::size_t const of_slot = lists_.add(&slot, 1), of_sums = lists_.room<std::uint64_t>(slices);
    lists_.send();
    auto* const sums = lists_.at<std::uint64_t>(of_sums);
    cuda::checksum({const_cast<std::byte*>(at), slice_bytes * slices, slice_bytes * slices}, lists_.at<std::int32_t>(of_slot), 1, slice_bytes,
                   static_cast<std::int32_t>(slices), sums, stream_);
    copy_out(std::as_writable_bytes(std::span{out, slices}), reinterpret_cast<std::byte const*>(sums));
    return true;
  }

  void rms_norm(float const* x, float const* weight, float eps, float* y, std::int32_t rows, std::int32_t n) override {
    cuda::rms_norm(x, weight, eps, y, rows, n, stream_);
  }
  void add(float* y, float const* x, std::size_t count) override { cuda::add(y, x, count, stream_); }
  void linear(float const* x, MatrixView const& w, float* y, std::int32_t rows) override { cuda::linear(x, w, y, rows, stream_); }
  void rotary_table(std::int32_t const* positions, std::int32_t rows, std::int32_t d, float theta, float* cos, float* sin) override {
    lists_.clear();
    std::size_t const of_positions = lists_.add(positions, static_cast<std::size_t>(rows));
    lists_.send();
    cuda::rotary_table(lists_.at<std::int32_t>(of_positions), rows, d, theta, cos, sin, stream_);
  }
  void rotary(float* x, float const* cos, float const* sin, std::int32_t rows, std::int32_t heads, std::int32_t d) override {
    cuda::rotary(x, cos, sin, rows, heads, d, stream_);
  }
  void gate(float const* logits, std::int32_t rows, std::int32_t experts, std::int32_t k, GateWeights rule, std::int32_t* ids, float* weights,
            float* probability) override {
    cuda::gate(logits, rows, experts, k, rule, ids, weights, probability, stream_);
  }
  void swiglu(float* gate, float const* up, std::size_t count) override { cuda::swiglu(gate, up, count, stream_); }
  void gather_rows(std::span<float const* const> from, std::int32_t n, float* out) override {
    lists_.clear();
    std::size_t const rows = lists_.add(from.data(), from.size());
    lists_.send();
    cuda::gather_rows(lists_.at<float const*>(rows), static_cast<std::int32_t>(from.size()), n, out, stream_);
  }
  void add_weighted(float* x, float const* weights, float const* const* y, std::int32_t rows, std::int32_t k, std::int32_t n) override {
    lists_.clear();
    std::size_t const of_y = lists_.add(y, static_cast<std::size_t>(rows) * static_cast<std::size_t>(k));
    lists_.send();
    cuda::add_weighted(x, weights, lists_.at<float const*>(of_y), rows, k, n, stream_);
  }

 private:
  /// The plan with its split, good until the next list is sent.
  AttendPlan sent(AttendPlan const& plan, std::int32_t q_heads, PageLayout const& layout) {
    SplitPlan const split = split_plan(plan, q_heads, layout);
    auto const groups = static_cast<std::size_t>(plan.groups), rows = static_cast<std::size_t>(plan.row_offsets[plan.groups]),
               pages = static_cast<std::size_t>(plan.page_offsets[plan.groups]);
    lists_.clear();
    std::size_t const row_offsets = lists_.add(plan.row_offsets, groups + 1), page_offsets = lists_.add(plan.page_offsets, groups + 1),
                      slots = lists_.add(plan.slots, pages), first_position = lists_.add(plan.first_position, pages),
                      tokens = lists_.add(plan.tokens, pages), row_position = lists_.add(plan.row_position, rows),
                      part = lists_.add(split.part.data(), split.part.size()), join = lists_.add(split.join.data(), split.join.size());
    lists_.send();
    auto const list = [&](std::size_t place) { return lists_.at<std::int32_t>(place); };
    return {plan.groups, list(row_offsets), list(page_offsets), list(slots), list(first_position), list(tokens), list(row_position),
            {static_cast<std::int32_t>(split.part.size()), lists_.at<AttendPart>(part), static_cast<std::int32_t>(split.join.size()),
             lists_.at<AttendJoin>(join), split.partial_rows, split.rows}};
  }
  SlotPairs from_and_to(std::int32_t from, std::int32_t to) {
    std::int32_t const slots[] = {from, to};
    lists_.clear();
    std::size_t const place = lists_.add(slots, 2);
    lists_.send();
    return {1, lists_.at<std::int32_t>(place), lists_.at<std::int32_t>(place) + 1};
  }
  /// A page with a basis of its own: its eigenvectors are found on the host.
  void encode_on_host(PoolView const& from, std::int32_t slot, CodedForm const& form, std::byte* to) {
    std::vector<std::byte> page(from.layout.bytes()), coded(form.layout().bytes);
    copy_out(page, from.keys(slot));
    host::encode_page({page.data(), page.size(), from.layout}, 0, form.layout(), coded.data());
    copy_in(to, coded);
  }

  OwnedStream queue_;
  CudaStream stream_;
  HostMemory host_memory_;
  Staged staged_{host_memory_};
  std::uint64_t waits_ = 0;
  Lists lists_;
};

}  // namespace

std::unique_ptr<Device> make_device() { return std::make_unique<CudaDevice>(); }

}  // namespace pikv::kernels::cuda
