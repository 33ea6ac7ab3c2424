#include "comm/nccl_device.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <nccl.h>

#include <cstring>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "comm/error.hpp"
#include "comm/nccl.hpp"
#include "comm/nccl_window_calls.hpp"

namespace pikv::comm {
namespace {

constexpr char const* advice = "NCCL_DEBUG=WARN shows its own messages, and --nccl off does without it";

void check_cuda(cudaError_t result, char const* what) {
  if (result != cudaSuccess) throw RunError(fmt::format("the GPU could not {}: {}", what, cudaGetErrorString(result)));
}

class RealNcclDevice : public NcclDevice {
 public:
  RealNcclDevice() {
    check_cuda(cudaGetDevice(&gpu_), "tell which it is");
    int least = 0, most = 0;
    check_cuda(cudaDeviceGetStreamPriorityRange(&least, &most), "tell priorities");
    check_cuda(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, most), "make a stream");   // peers wait for it, beside kernels that take long
    check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "make an event");
  }
  ~RealNcclDevice() override {
    if (comm_ != nullptr) abort();
    if (aborted_) return;   // what still runs uses them
    cudaEventDestroy(event_);
    cudaStreamDestroy(stream_);
  }
  RealNcclDevice(RealNcclDevice const&) = delete;   // owns a communicator

  DeviceMemory& memory() override { return gpu_memory(); }

  NcclId make_id() override {
    static_assert(sizeof(ncclUniqueId) == sizeof(NcclId));
    ncclUniqueId id;
    check(ncclGetUniqueId(&id), "make an id");
    NcclId made;
    std::memcpy(made.data(), &id, sizeof id);
    return made;
  }

  void open(NcclId const& id, int ranks, Rank rank) override {
    ncclUniqueId theirs;
    std::memcpy(&theirs, id.data(), sizeof theirs);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    check(ncclCommInitRankConfig(&comm_, ranks, theirs, rank, &config), "begin to connect the ranks");
  }

  bool settled() override {
    ncclResult_t state = ncclSuccess;
    check(ncclCommGetAsyncError(comm_, &state), "tell how it is");
    check(state, "go on");
    return state != ncclInProgress;
  }

  void copy_in(std::byte* device, std::span<std::byte const> host) override {
    check_cuda(cudaMemcpyAsync(device, host.data(), host.size(), cudaMemcpyHostToDevice, stream_), "copy from host memory");
  }
  void copy_out(std::span<std::byte> host, std::byte const* device) override {
    check_cuda(cudaMemcpyAsync(host.data(), device, host.size(), cudaMemcpyDeviceToHost, stream_), "copy to host memory");
  }

  void transfer(std::span<NcclTransfer const> sends, std::span<NcclTransfer const> receives) override {
    check(ncclGroupStart(), "begin a group");
    for (auto const& [peer, device, bytes] : sends) check(ncclSend(device, bytes, ncclUint8, peer, comm_, stream_), "send");
    for (auto const& [peer, device, bytes] : receives) check(ncclRecv(device, bytes, ncclUint8, peer, comm_, stream_), "receive");
    check(ncclGroupEnd(), "send and receive");
  }

  void copy_across(std::byte* to, std::byte const* from, std::size_t bytes) override {
    check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_), "copy to another GPU");
  }

  void mark() override { check_cuda(cudaEventRecord(event_, stream_), "record an event"); }
  bool passed() override {
    cudaError_t const result = cudaEventQuery(event_);
    if (result != cudaErrorNotReady) check_cuda(result, "run what was queued");
    return result == cudaSuccess;
  }

  void open_window(std::span<std::byte> memory) override { check(begin_nccl_window(comm_, memory, &opening_), "begin to register memory"); }
  NcclWindow opened() override { return {opening_, nccl_window_reach(comm_, opening_, stream_)}; }
  void close_window(NcclWindow const& window) override { check(end_nccl_window(comm_, window.registered), "forget memory that was registered"); }

  void finalize() override { check(ncclCommFinalize(comm_), "begin to end"); }
  void close() override { check(ncclCommDestroy(std::exchange(comm_, nullptr)), "end"); }

  // A thread of its own: ncclCommAbort is known to wait, and for ever where a peer of the same host never ends too.
  void abort() noexcept override {
    if (comm_ == nullptr) return;
    aborted_ = true;
    try {
      std::thread{[comm = std::exchange(comm_, nullptr), gpu = gpu_] {
        cudaSetDevice(gpu);
        ncclCommAbort(comm);
      }}.detach();
    } catch (std::system_error const&) {   // no thread to be had: it stays as it is, and the process ends
    }
  }

 private:
  void check(ncclResult_t result, char const* what) const {
    if (result == ncclSuccess || result == ncclInProgress) return;
    char const* const last = ncclGetLastError(comm_);
    std::string const more = last == nullptr || *last == '\0' ? "" : fmt::format(" ({})", last);
    throw RunError(fmt::format("NCCL could not {}: {}{}; {}", what, ncclGetErrorString(result), more, advice));
  }

  int gpu_ = 0;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t event_ = nullptr;
  ncclComm_t comm_ = nullptr;
  void* opening_ = nullptr;   // window; NCCL writes it
  bool aborted_ = false;
};

}  // namespace

bool nccl_built_in() { return true; }

std::string nccl_version() {
  int code = 0;
  if (ncclGetVersion(&code) != ncclSuccess) return "unknown";
  return fmt::format("{}.{}.{}", code / 10000, code % 10000 / 100, code % 100);
}

std::unique_ptr<NcclDevice> make_nccl_device() { return std::make_unique<RealNcclDevice>(); }

}  // namespace pikv::comm
