#include "shards/snapshot.hpp"

#include <algorithm>

#include "shards/page_key.hpp"

namespace pikv::shards {

namespace {

PageRef ref_of(Store const& store, std::int32_t table, DirectoryEntry const& entry, comm::Rank home) {
  PageRef page;
  if (entry.rotten || !entry.exists()) return page;
  if (entry.local.valid()) {
    page.at = home;
    page.slot = entry.local.index;
    page.open = entry.life == PageLife::open ? 1 : 0;
    page.bytes = store.page_bytes(table, entry);
  } else if (entry.life == PageLife::remote) {
    page.at = entry.owner;
    page.slot = entry.slot.index;
    page.indexed = 1;
    page.generation = entry.generation;
    page.bytes = store.page_bytes(table, entry);
  }
  return page;
}

// K[kv_heads][page_tokens][head_dim], then V likewise: each (K or V, head) has its own tail.
void clear_unfilled(kernels::PageLayout const& layout, std::int32_t tokens, std::span<std::byte> payload) {
  std::size_t const heads = 2 * static_cast<std::size_t>(layout.kv_heads);
  std::size_t const head_bytes = payload.size() / heads;
  std::size_t const filled = head_bytes / static_cast<std::size_t>(layout.page_tokens) * static_cast<std::size_t>(tokens);
  for (std::size_t head = 0; head < heads; ++head) std::ranges::fill(payload.subspan(head * head_bytes + filled, head_bytes - filled), std::byte{0});
}

void copy_open(Store& store, PageRef const& page, PageHeader& header, std::span<std::byte> payload) {
  StoreOptions const& options = store.options();
  store.arena().copy_out({page.slot}, payload);
  clear_unfilled(options.layout, page.tokens, payload);
  header = {};
  header.key = key_of(options, page.stream, page.layer, page.block);
  header.first_position = first_position(page.block, options.layout.page_tokens);
  header.tokens = static_cast<std::uint32_t>(page.tokens);
  header.fingerprint = options.fingerprint;
  seal(header, payload, options.layout);
}

}  // namespace

std::vector<PageRef> pages_of(Store const& store, Stream const& stream, comm::Rank home) {
  std::int32_t const p = store.options().layout.page_tokens;
  Block const blocks = blocks_for(stream.length(), p);
  std::vector<PageRef> pages;
  pages.reserve(static_cast<std::size_t>(blocks) * static_cast<std::size_t>(store.options().layers));
  for (Block block = 0; block < blocks; ++block)
    for (std::int32_t layer = 0; layer < store.options().layers; ++layer) {
      PageRef page = ref_of(store, layer, stream.directory().at(layer, block), home);
      page.stream = stream.id();
      page.layer = layer;
      page.block = block;
      page.tokens = static_cast<std::int32_t>(std::min<std::int64_t>(stream.length() - first_position(block, p), p));
      pages.push_back(page);
    }
  return pages;
}

bool copy_page(Store& store, PageRef const& page, PageHeader& header, std::span<std::byte> payload) {
  StoreOptions const& options = store.options();
  if (page.open != 0) {
    copy_open(store, page, header, payload);
    return true;
  }
  Slot const slot{page.slot};
  PageKey const key = key_of(options, page.stream, page.layer, page.block);
  if (page.indexed != 0 && !store.owner().holds({page.slot, static_cast<std::uint32_t>(page.generation)}, key)) return false;
  header = store.arena().header(slot);
  store.arena().copy_out(slot, payload.first(page.bytes));
  return verify(header, payload, key, page.indexed != 0 ? page.generation : header.generation, options.fingerprint) == Verdict::good;
}

}  // namespace pikv::shards
