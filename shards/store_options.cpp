#include "shards/store_options.hpp"

#include <algorithm>
#include <limits>

#include "shards/page_codecs.hpp"

namespace pikv::shards {

std::int32_t sealed_class(StoreOptions const& options, std::int32_t table) { return options.codecs ? options.codecs->size_class(table) : 0; }

std::optional<std::int32_t> stored_class(StoreOptions const& options, std::int32_t table, PageHeader const& header) {
  if (options.codecs) return options.codecs->class_of(table, header.codec);
  return header.codec == 0 ? std::optional{0} : std::nullopt;
}

std::size_t sealed_bytes(StoreOptions const& options, std::int32_t table) {
  return sealed_class(options, table) > 0 ? options.codecs->layout(table).bytes : options.layout.bytes();
}

bool recodes(StoreOptions const& options) { return options.codecs && options.codecs->any_cool(); }

std::int32_t sealed_tables(StoreOptions const& options, std::int32_t size_class) {
  if (!options.codecs) return size_class == 0 ? options.layers : 0;
  return options.codecs->level_of(size_class) == Level::warm ? options.codecs->tables_in(size_class) : 0;
}

std::int32_t cold_tables(StoreOptions const& options, std::int32_t size_class) {
  return options.codecs && options.codecs->level_of(size_class) == Level::cold ? options.codecs->tables_in(size_class) : 0;
}

// Where all pages cool, warm ones pass: their slots are for what runs, however long it is (runtime/sizing.hpp).
std::size_t stream_pages(StoreOptions const& options) {
  bool const pass = options.codecs && options.codecs->all_cool();
  std::size_t pages = std::numeric_limits<std::size_t>::max();
  for (std::int32_t c = 0; c < options.classes(); ++c) {
    auto const of_block = static_cast<std::size_t>(pass ? cold_tables(options, c) : std::max(sealed_tables(options, c), cold_tables(options, c)));
    auto const tables = static_cast<std::size_t>(options.layers);
    CodedSlots const of = options.slots_of(c);
    if (of_block > 0) pages = std::min(pages, (of.slots - std::min(of.slots, of.home_slots)) * tables / of_block);
  }
  return pages;
}

}  // namespace pikv::shards
