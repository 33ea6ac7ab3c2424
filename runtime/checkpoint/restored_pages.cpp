#include "runtime/checkpoint/restored_pages.hpp"

#include <algorithm>

namespace pikv::runtime {

RestoredPages::RestoredPages(CheckpointReader const& checkpoint, std::int32_t layers) : checkpoint_{checkpoint}, layers_{layers} {
  auto const& pages = checkpoint.pages();
  for (std::size_t i = 0; i < pages.size(); ++i) {
    PageRow const& page = pages[i];
    if (page.layer < 0 || page.layer >= layers || page.block < 0) continue;   // of no stream that this model has
    auto& rows = rows_[{page.stream_hi, page.stream_lo}];
    auto const at = static_cast<std::size_t>(page.block) * static_cast<std::size_t>(layers) + static_cast<std::size_t>(page.layer);
    if (at > pages.size()) continue;   // there are gaps before it, so nobody will ask for it
    if (rows.size() <= at) rows.resize(at + 1, -1);
    rows[at] = static_cast<std::int64_t>(i);
  }
}

shards::Block RestoredPages::blocks(shards::StreamId const& stream) const {
  auto const found = rows_.find(stream);
  if (found == rows_.end()) return 0;
  auto const gap = std::ranges::find(found->second, -1) - found->second.begin();
  return static_cast<shards::Block>(gap / layers_);
}

std::size_t RestoredPages::row(shards::StreamId const& stream, std::int32_t layer, shards::Block block) const {
  auto const at = static_cast<std::size_t>(block) * static_cast<std::size_t>(layers_) + static_cast<std::size_t>(layer);
  return static_cast<std::size_t>(rows_.at(stream).at(at));
}

}  // namespace pikv::runtime
