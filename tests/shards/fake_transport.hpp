#pragma once

#include <memory>
#include <stdexcept>
#include <vector>

#include "comm/transport.hpp"

namespace pikv::test {

/// One rank that allocates, and keeps count of the bytes; nothing is ever sent.
class FakeTransport : public comm::Transport {
 public:
  std::string_view name() const override { return "fake"; }
  comm::Region allocate(std::size_t bytes, comm::Space) override {
    memory_.push_back(std::make_unique<Page[]>(bytes / sizeof(Page) + 1));
    allocated_ += bytes;
    return {.id = static_cast<comm::RegionId>(memory_.size() - 1), .data = memory_.back()[0].bytes, .bytes = bytes};
  }
  comm::Op put(comm::Rank, comm::Offset, std::span<std::byte const>) override { throw std::logic_error("no peers"); }
  comm::Op get(comm::Rank, comm::Offset, std::span<std::byte>) override { throw std::logic_error("no peers"); }
  comm::Op flush(comm::Rank) override { throw std::logic_error("no peers"); }
  comm::Op fetch_add(comm::Rank, comm::Offset, std::uint64_t, std::uint64_t*) override { throw std::logic_error("no peers"); }
  void poll() override {}
  bool test(comm::Op) override { return true; }
  comm::Status wait(comm::Op, comm::Deadline) override { return comm::Status::arrived; }
  comm::TransportCounts const& counts() const override { return counts_; }

  std::size_t allocated() const { return allocated_; }

 private:
  struct alignas(64) Page {
    std::byte bytes[64];
  };
  std::vector<std::unique_ptr<Page[]>> memory_;
  std::size_t allocated_ = 0;
  comm::TransportCounts counts_;
};

}  // namespace pikv::test
