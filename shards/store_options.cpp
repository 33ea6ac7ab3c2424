#include "shards/store_options.hpp"

#include <algorithm>
#include <limits>

#include "shards/page_codecs.hpp"

namespace pikv::shards {

std::int32_t sealed_class(StoreOptions const& options, std::int32_t table) { return options.codecs ? options.codecs->size_class(table) : 0; }

std::int32_t sealed_tables(StoreOptions const& options, std::int32_t size_class) {
  if (!options.codecs) return size_class == 0 ? options.layers : 0;
  return options.codecs->tables_in(size_class);
}

std::size_t stream_pages(StoreOptions const& options) {
  std::size_t pages = std::numeric_limits<std::size_t>::max();
  for (std::int32_t c = 0; c < options.classes(); ++c) {
    auto const of_block = static_cast<std::size_t>(sealed_tables(options, c)), tables = static_cast<std::size_t>(options.layers);
    CodedSlots const of = options.slots_of(c);
    if (of_block > 0) pages = std::min(pages, (of.slots - std::min(of.slots, of.home_slots)) * tables / of_block);
  }
  return pages;
}

}  // namespace pikv::shards
