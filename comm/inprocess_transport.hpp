#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "comm/checked_transport.hpp"
#include "comm/device_memory.hpp"
#include "comm/op_slots.hpp"
#include "comm/zeroed_memory.hpp"

namespace pikv::comm {

/// One rank's part of a region, in host memory or a GPU's.
class InprocessPart {
 public:
  InprocessPart() = default;
  explicit InprocessPart(std::size_t bytes) : host_{bytes}, data_{host_.data()} {}
  InprocessPart(std::size_t bytes, DeviceMemory& device) : device_{&device}, data_{device.allocate(bytes > 0 ? bytes : 1)} {}
  InprocessPart(InprocessPart&& from) noexcept
      : host_{std::move(from.host_)}, device_{std::exchange(from.device_, nullptr)}, data_{std::exchange(from.data_, nullptr)} {}
  InprocessPart& operator=(InprocessPart&& from) noexcept {
    host_ = std::move(from.host_);
    std::swap(device_, from.device_);
    std::swap(data_, from.data_);
    return *this;
  }
  ~InprocessPart() {
    if (device_ != nullptr) device_->free(data_);
  }

  bool in_host_memory() const { return device_ == nullptr; }
  std::byte* data() const { return data_; }
  void write(std::uint64_t at, std::span<std::byte const> bytes) const;
  void read(std::uint64_t at, std::span<std::byte> into) const;

 private:
  ZeroedMemory host_;
  DeviceMemory* device_ = nullptr;
  std::byte* data_ = nullptr;
};

/// The regions of one transport, of all ranks of this address space. Outlives the first rank that is done with it.
struct InprocessRegions {
  std::vector<std::vector<InprocessPart>> parts;   // [region][rank]
};

/// One-sided memory by memcpy, or a GPU's copies: every transfer is complete when it has been started.
class InprocessTransport : public CheckedTransport {
 public:
  /// `device` outlives what is allocated there.
  InprocessTransport(World& world, std::shared_ptr<InprocessRegions> regions, DeviceMemory& device);

  std::string_view name() const override { return "in-process"; }
  Region allocate(std::size_t bytes, Space space) override;
  Op put(Rank to, Offset at, std::span<std::byte const> bytes) override;
  Op get(Rank from, Offset at, std::span<std::byte> into) override;
  Op flush(Rank to) override;
  Op fetch_add(Rank to, Offset at, std::uint64_t add, std::uint64_t* before) override;
  void poll() override {}
  bool test(Op op) override;
  Status wait(Op op, Deadline deadline) override;

 private:
  InprocessPart& part(Rank rank, Offset at) const;
  struct Nothing {};
  std::shared_ptr<InprocessRegions> regions_;
  DeviceMemory& device_;
  OpSlots<Nothing> ops_;
};

}  // namespace pikv::comm
