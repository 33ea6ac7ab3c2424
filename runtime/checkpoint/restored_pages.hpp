#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "runtime/checkpoint/reader.hpp"
#include "shards/block.hpp"
#include "shards/header.hpp"
#include "shards/page.hpp"

namespace pikv::runtime {

/// The pages of a checkpoint by stream, for the homes that go on with them. Borrows the reader. `layers`: page tables of the model.
class RestoredPages {
 public:
  RestoredPages(CheckpointReader const& checkpoint, std::int32_t layers);

  /// Blocks of a stream that are there in every layer, or were evicted, from the first on without a gap: what can be read instead of computed.
  shards::Block blocks(shards::StreamId const& stream) const;
  /// The row of /pages, nothing of an evicted page; block < blocks(stream).
  std::optional<std::size_t> row(shards::StreamId const& stream, std::int32_t layer, shards::Block block) const;

  CheckpointReader const& checkpoint() const { return checkpoint_; }

 private:
  CheckpointReader const& checkpoint_;
  std::int32_t layers_;
  std::unordered_map<shards::StreamId, std::vector<std::int64_t>> rows_;   // [block * layers + layer], or one of restored_pages.cpp's
};

}  // namespace pikv::runtime
