#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <set>

#include "comm/device_memory.hpp"

namespace pikv::comm::test {

/// A GPU's memory for tests: host memory that the processor cannot touch (a fault ends the test) but in copy_in and copy_out, which refuse
/// what is outside an allocation. Without one, if so asked, in the words of `absent`.
class FencedMemory : public DeviceMemory {
 public:
  explicit FencedMemory(std::string absent = {}) : absent_{std::move(absent)} {}
  std::string why_absent() const override { return absent_; }
  bool is_cuda() const override { return false; }
  std::byte* allocate(std::size_t bytes) override;
  void free(std::byte* device) noexcept override;
  void pin(std::span<std::byte> host) override;
  void unpin(std::byte* host) noexcept override;
  void copy_in(std::byte* device, std::span<std::byte const> host) override;
  void copy_out(std::span<std::byte> host, std::byte const* device) override;

  /// What was allocated and pinned and is so still.
  std::size_t in_use() const { return allocated_.size() + pinned_.size(); }
  std::size_t pinned() const { return pinned_.size(); }

 private:
  class Opened;

  std::string absent_;
  std::mutex mutex_;
  std::map<std::byte const*, std::size_t> allocated_;   // whole pages
  std::set<std::byte const*> pinned_;
};

}  // namespace pikv::comm::test
