// Pages that are read instead of computed.
#include "shards/home.hpp"

#include <algorithm>

#include "shards/page_codecs.hpp"
#include "shards/page_key.hpp"

namespace pikv::shards {

// A coded page as it was before, but for what the codec lost.
kernels::PoolView Home::decoded(std::int32_t layer, Slot slot) {
  kernels::PoolView const view{decoded_.data(), decoded_.size(), options_.layout};
  Level const level = options_.codecs->level_of(arena_.size_class(slot));
  kernels::CodedLayout const layout = options_.codecs->layout(layer, level);
  kernels::host::decode_page(layout, arena_.read(slot, layout.bytes).data(), view, 0);
  return view;
}

bool Home::read_block(Stream& stream, ReadPage const& read, std::uint32_t& tokens) {
  Block const block = stream.directory_.blocks() - 1;
  auto const whole = static_cast<std::uint32_t>(options_.layout.page_tokens);
  bool evicted = false;
  for (std::int32_t layer = 0; layer < options_.layers; ++layer) {
    PageHeader header;
    if (!read.header(layer, header)) {
      stream.directory_.at(layer, block).life = PageLife::evicted;
      evicted = true;
      continue;
    }
    auto const size_class = stored_class(options_, layer, header);
    if (!size_class) return false;
    DirectoryEntry& entry = stream.directory_.at(layer, block);
    entry.local = arena_.take(*size_class);
    arena_.header(entry.local) = header;
    (void)arena_.fill(entry.local, std::min<std::size_t>(header.payload_bytes, arena_.payload(entry.local).size()), [&](std::span<std::byte> into) {
      read.payload(layer, into);
      return true;
    });
    ++counts_.checked;
    bool const sound = arena_.verify(header, entry.local, key_of(options_, stream.id_, layer, block), header.generation, options_.fingerprint) == Verdict::good;
    if (!sound || header.tokens < 1 || header.tokens > whole || (tokens > 0 && header.tokens != tokens)) return false;
    tokens = header.tokens;
  }
  if (tokens == 0) tokens = whole;   // gone from every table
  return !evicted || tokens == whole;
}

bool Home::restore(Stream& stream, ReadPage const& read) {
  Block const block = stream.directory_.blocks();
  stream.directory_.resize(block + 1);
  std::uint32_t tokens = 0;
  if (!read_block(stream, read, tokens)) {
    ++counts_.corrupt;
    for (std::int32_t layer = 0; layer < options_.layers; ++layer)
      if (Slot const slot = stream.directory_.at(layer, block).local; slot.valid()) arena_.give_back(slot);
    stream.directory_.resize(block);
    return false;
  }
  stream.length_ += tokens;
  bool const full = static_cast<std::int32_t>(tokens) == options_.layout.page_tokens;
  bool sealed = full && stream.sealed_ == block;
  for (std::int32_t layer = 0; layer < options_.layers; ++layer)   // a page that waits to be encoded is still open
    if (DirectoryEntry const& entry = stream.directory_.at(layer, block); entry.life != PageLife::evicted)
      sealed = sealed && (block == 0 || sealed_class(options_, layer) == 0 || arena_.size_class(entry.local) > 0);
  for (std::int32_t layer = 0; layer < options_.layers; ++layer) {
    DirectoryEntry& entry = stream.directory_.at(layer, block);
    if (entry.life == PageLife::evicted) {
      ++stream.evicted_pages_;
      continue;
    }
    PageHeader& header = arena_.header(entry.local);
    arena_.book(entry.local, header.payload_bytes, false);
    arena_.events().record(PageEvent::restore, header.key, -1, entry.local, arena_.generation(entry.local), header.payload_bytes);
    if (!sealed) {
      entry.life = PageLife::open;
      header = {};   // a page that is being filled has none
      continue;
    }
    header.generation = 0;
    header.push = 0;
    header.home = static_cast<std::uint16_t>(world_.rank());
    header.epoch = placement_.epoch();
    Arena::HostPage page;
    if (experts_.wants_keys())
      page = arena_.size_class(entry.local) > 0 ? Arena::HostPage{decoded(layer, entry.local), 0} : arena_.host_page(entry.local);
    header.expert = entry.expert = experts_.adopt(stream, layer, block, page.pool, page.slot, header.expert);
    stamp(header);
    entry.life = PageLife::sealed;
    if (!options_.local && block > 0) settle({&stream, layer, block, bucket_for(entry.expert, stream.id_, block), 0});
  }
  if (sealed) ++stream.sealed_;
  ++counts_.blocks_restored;
  return true;
}

}  // namespace pikv::shards
