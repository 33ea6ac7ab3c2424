#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/summary.hpp"
#include "runtime/policy_state.hpp"
#include "shards/block.hpp"

namespace pikv::runtime {

/// Summaries of the sealed pages of one page table of a stream's layer, block by block, at its home (methods 1.4).
class PageSummaries {
 public:
  PageSummaries(std::int32_t kv_heads, std::int32_t head_dim) : kv_heads_{kv_heads}, head_dim_{head_dim} {}

  /// Blocks come in any order; a block that is added again is summed up anew. The slot's shape must be that of the summaries.
  void add(shards::Block block, kernels::PoolView const& pool, std::int32_t slot, std::int32_t tokens);
  /// Of a block that was added: the errors of its keys as they are stored, by KV head (kernels::CodedErrors); none until then.
  void set_key_errors(shards::Block block, std::span<float const> errors);
  float key_error(shards::Block block, std::int32_t kv_head) const { return error_[at(block) * static_cast<std::size_t>(kv_heads_) + static_cast<std::size_t>(kv_head)]; }
  /// Its largest key error by the length of the longest key its boxes allow; 0: stored as it is.
  float relative_key_error(shards::Block block) const;
  /// Drops `from` and what follows.
  void forget(shards::Block from);
  bool knows(shards::Block block) const;
  /// Page index = block; valid until the next add.
  kernels::SummaryView view() const;
  /// Of the memory held, room to grow included, for the account.
  std::size_t bytes() const;
  /// For a checkpoint, and back into one of the same shape.
  void save(StateWriter& out) const;
  void restore(StateReader& in);

 private:
  void resize(std::size_t blocks);
  static std::size_t at(shards::Block block) { return static_cast<std::size_t>(block); }

  std::int32_t kv_heads_, head_dim_;
  std::vector<std::uint16_t> lo_, hi_;
  std::vector<float> mean_, error_;   // error_ [blocks][kv_heads]
  std::vector<std::int32_t> tokens_;
};

}  // namespace pikv::runtime
