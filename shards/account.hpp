#pragma once

#include <array>
#include <cstddef>

namespace pikv::shards {

/// Where the bytes of the KV store are. Each category is added to where memory is taken and subtracted where it is
/// given back, so that the sum over categories plus `free` is what the allocator gave.
enum class Memory { payload, header, summaries, slack, replicas, free };
inline constexpr std::size_t memory_categories = 6;
char const* to_string(Memory category);

class MemoryAccount {
 public:
  /// The allocator gave `bytes`; they start as `free`.
  void allocated(std::size_t bytes);
  /// Moves bytes between categories; throws std::logic_error if `from` does not hold them (a bug of ours).
  void move(Memory from, Memory to, std::size_t bytes);

  /// So many bytes of a category lie outside what allocated() told of, now: they replace what was said before.
  void outside(Memory category, std::size_t bytes);

  std::size_t bytes(Memory category) const { return bytes_[static_cast<std::size_t>(category)]; }
  std::size_t total() const { return total_; }        // what the allocator gave
  std::size_t resident() const { return total_ - bytes(Memory::free); }
  std::size_t peak() const { return peak_; }          // largest resident()

 private:
  std::array<std::size_t, memory_categories> bytes_{}, outside_{};
  std::size_t total_ = 0, peak_ = 0;
};

}  // namespace pikv::shards
