#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "comm/deadline.hpp"
#include "comm/rank.hpp"

namespace pikv::comm {

enum class Space { host, device };

/// Names one collective allocation; the same number on every rank.
using RegionId = std::uint32_t;

/// A place in a peer's part of a region: a byte offset, not an address.
struct Offset {
  RegionId region = 0;
  std::uint64_t byte = 0;
};

/// This rank's part of a collective allocation. Owned by the transport; lives as long as it does. Zeroed.
/// In device memory `data` is an address of this rank's GPU, for its kernels and copies: the processor reads and writes nothing there, and what the
/// GPU writes there has ended (its stream was waited for) before peers get it. What is put from and brought to is host memory always.
struct Region {
  RegionId id = 0;
  std::byte* data = nullptr;
  std::size_t bytes = 0;   // of this rank's part; parts may differ in size
  Offset at(std::uint64_t byte) const { return {id, byte}; }
};

/// A started operation. Value type; every Op must be waited for exactly once (wait also frees its slot).
struct Op {
  std::uint32_t index = 0;
  std::uint32_t serial = 0;
};

struct TransportCounts {
  std::uint64_t puts = 0, gets = 0, flushes = 0, atomics = 0;
  std::uint64_t put_bytes_to_self = 0, put_bytes_to_host = 0, put_bytes_to_remote = 0;
  std::uint64_t get_bytes_from_self = 0, get_bytes_from_host = 0, get_bytes_from_remote = 0;
};

/// One-sided memory: bytes and offsets; no page, MPI or UCX type in sight. To self is allowed.
/// Order between operations is promised only by flush: two puts to the same peer may land in any order.
/// Made and destroyed collectively. Outside a peer's part: std::out_of_range. An Op waited for twice: std::logic_error.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual std::string_view name() const = 0;

  /// Collective; the backend picks memory its peers reach fast. Every rank brings its own size (0 is allowed), all the same space.
  /// InputError on every rank where device memory is asked for and not to be had.
  virtual Region allocate(std::size_t bytes, Space space) = 0;

  /// `bytes` stays untouched until wait(op), which says only that it may be reused.
  virtual Op put(Rank to, Offset at, std::span<std::byte const> bytes) = 0;
  /// `into` holds the bytes after wait(op) == arrived; anything may be in it otherwise.
  virtual Op get(Rank from, Offset at, std::span<std::byte> into) = 0;
  /// Done: everything put to `to` before this call has arrived there.
  virtual Op flush(Rank to) = 0;
  /// `*before` is the old value at `at` (8-byte aligned) after wait. In device memory: std::logic_error.
  virtual Op fetch_add(Rank to, Offset at, std::uint64_t add, std::uint64_t* before) = 0;

  /// Drives progress without waiting. Call it before reading in the own part what peers put there.
  virtual void poll() = 0;
  virtual bool test(Op op) = 0;   // true: wait() would return at once
  virtual Status wait(Op op, Deadline deadline) = 0;

  virtual TransportCounts const& counts() const = 0;
};

}  // namespace pikv::comm
