#pragma once

#include <cstdint>

#include "shards/page.hpp"
#include "shards/store_options.hpp"

namespace pikv::shards {

/// The key of a page by its place in a directory: `table` counts page tables, layer after layer (StoreOptions::tables).
constexpr PageKey key_of(StoreOptions const& options, StreamId const& stream, std::int32_t table, Block block) {
  std::int32_t const head = table % options.tables_per_layer * options.layout.kv_heads;
  return {stream, static_cast<std::uint16_t>(table / options.tables_per_layer), static_cast<std::uint16_t>(head),
          static_cast<std::uint16_t>(head + options.layout.kv_heads), 0, block};
}

constexpr std::int32_t table_of(StoreOptions const& options, PageKey const& key) {
  return key.layer * options.tables_per_layer + key.head_begin / options.layout.kv_heads;
}

}  // namespace pikv::shards
