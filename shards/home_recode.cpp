// Pages whose bytes become others.
#include "shards/home.hpp"

#include <algorithm>

namespace pikv::shards {

// A push that is under way goes on without the page: its owner is told to retire what has arrived. Never both under the page's key in the directory.
void Home::replace(Stream& stream, std::int32_t table, Block block, Slot by) {
  DirectoryEntry& entry = stream.directory_.at(table, block);
  auto const is_it = [&](auto const& page) { return page.stream == &stream && page.layer == table && page.block == block; };
  bool const adopted = entry.life == PageLife::sealed && entry.owner == world_.rank();
  if (entry.life == PageLife::pending) {
    auto& pending = channel(entry.owner, arena_.size_class(entry.local)).pending;
    std::ranges::find_if(pending, is_it)->stream = nullptr;
    entry.life = PageLife::sealed;
    entry.slot = {};
    entry.generation = 0;
  } else {
    if (adopted) own_shard_.disown(arena_.size_class(entry.local));
    if (entry.owner >= 0 && !adopted) channel(entry.owner, arena_.size_class(entry.local)).waiting.erase_if(is_it);
    if (entry.owner < 0) std::erase_if(homeless_, is_it);
    arena_.give_back(entry.local);
  }
  entry.local = by;
  if (adopted) own_shard_.adopt_recoded(arena_.size_class(by));
  else if (!options_.local) settle({&stream, table, block, bucket_for(entry.expert, stream.id_, block), 0});
}

}  // namespace pikv::shards
