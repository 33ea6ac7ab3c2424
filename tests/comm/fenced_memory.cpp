#include "fenced_memory.hpp"

#include <sys/mman.h>

#include <cstring>
#include <stdexcept>

namespace pikv::comm::test {

/// Readable and writable while it lives.
class FencedMemory::Opened {
 public:
  Opened(FencedMemory& memory, std::byte const* at, std::size_t bytes) : lock_{memory.mutex_} {
    auto const after = memory.allocated_.upper_bound(at);
    if (after == memory.allocated_.begin()) throw std::logic_error("a copy outside the device's memory");
    auto const [begin, size] = *std::prev(after);
    if (at + bytes > begin + size) throw std::logic_error("a copy past the end of the device's memory");
    whole_ = {const_cast<std::byte*>(begin), size};
    ::mprotect(whole_.data(), whole_.size(), PROT_READ | PROT_WRITE);
  }
  ~Opened() { ::mprotect(whole_.data(), whole_.size(), PROT_NONE); }

 private:
  std::lock_guard<std::mutex> lock_;
  std::span<std::byte> whole_;
};

std::byte* FencedMemory::allocate(std::size_t bytes) {
  constexpr std::size_t page = 4096;
  std::size_t const whole = (bytes + page - 1) / page * page;
  void* const at = ::mmap(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc{};
  std::lock_guard const lock{mutex_};
  allocated_[static_cast<std::byte*>(at)] = whole;
  return static_cast<std::byte*>(at);
}

void FencedMemory::free(std::byte* device) noexcept {
  std::lock_guard const lock{mutex_};
  auto const found = allocated_.find(device);
  if (found == allocated_.end()) std::terminate();
  ::munmap(device, found->second);
  allocated_.erase(found);
}

void FencedMemory::pin(std::span<std::byte> host) {
  std::lock_guard const lock{mutex_};
  if (!pinned_.insert(host.data()).second) throw std::logic_error("pinned twice");
}

void FencedMemory::unpin(std::byte* host) noexcept {
  std::lock_guard const lock{mutex_};
  if (pinned_.erase(host) != 1) std::terminate();
}

void FencedMemory::copy_in(std::byte* device, std::span<std::byte const> host) {
  if (host.empty()) return;
  Opened const opened{*this, device, host.size()};
  std::memcpy(device, host.data(), host.size());
}

void FencedMemory::copy_out(std::span<std::byte> host, std::byte const* device) {
  if (host.empty()) return;
  Opened const opened{*this, device, host.size()};
  std::memcpy(host.data(), device, host.size());
}

}  // namespace pikv::comm::test
