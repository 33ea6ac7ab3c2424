#include "runtime/checkpoint/restored_pages.hpp"

#include <algorithm>

namespace pikv::runtime {
namespace {

constexpr std::int64_t not_there = -1, evicted = -2;

}   // namespace

RestoredPages::RestoredPages(CheckpointReader const& checkpoint, std::int32_t layers) : checkpoint_{checkpoint}, layers_{layers} {
  auto const& pages = checkpoint.pages();
  std::size_t most = pages.size();   // behind so many pages there are gaps, so nobody will ask
  for (SavedRequest const& saved : checkpoint.requests()) most += saved.evicted.size();
  auto const add = [&](shards::StreamId const& stream, std::int32_t layer, shards::Block block, std::int64_t row) {
    if (layer < 0 || layer >= layers || block < 0) return;   // of no stream that this model has
    auto& rows = rows_[stream];
    auto const at = static_cast<std::size_t>(block) * static_cast<std::size_t>(layers) + static_cast<std::size_t>(layer);
    if (at > most) return;
    if (rows.size() <= at) rows.resize(at + 1, not_there);
    rows[at] = row;
  };
  for (std::size_t i = 0; i < pages.size(); ++i) add({pages[i].stream_hi, pages[i].stream_lo}, pages[i].layer, pages[i].block, static_cast<std::int64_t>(i));
  for (SavedRequest const& saved : checkpoint.requests())
    for (EvictedPage const& page : saved.evicted) add(saved.stream, page.layer, page.block, evicted);
}

shards::Block RestoredPages::blocks(shards::StreamId const& stream) const {
  auto const found = rows_.find(stream);
  if (found == rows_.end()) return 0;
  auto const gap = std::ranges::find(found->second, not_there) - found->second.begin();
  return static_cast<shards::Block>(gap / layers_);
}

std::optional<std::size_t> RestoredPages::row(shards::StreamId const& stream, std::int32_t layer, shards::Block block) const {
  auto const at = static_cast<std::size_t>(block) * static_cast<std::size_t>(layers_) + static_cast<std::size_t>(layer);
  std::int64_t const row = rows_.at(stream).at(at);
  if (row == evicted) return {};
  return static_cast<std::size_t>(row);
}

}  // namespace pikv::runtime
