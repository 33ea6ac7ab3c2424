// Pages that are full.
#include "shards/home.hpp"

#include <algorithm>

#include "shards/encode_watch.hpp"
#include "shards/page_forms.hpp"
#include "shards/page_key.hpp"
#include "shards/stopwatch.hpp"

namespace pikv::shards {

void Home::advance(Stream& stream, std::int32_t rows) {
  stream.length_ += rows;
  stream.cools_ = true;
  counts_.tokens_appended += static_cast<std::uint64_t>(rows);
}

Block Home::blocks_to_seal(Stream const& stream) const {
  return std::max(0, block_of(stream.length_, options_.layout.page_tokens) - options_.exact_blocks - stream.sealed_);
}

std::size_t Home::pages_to_seal(Stream const& stream, std::int32_t size_class) const {
  Block const coded = blocks_to_seal(stream) - (stream.sealed_ == 0 ? 1 : 0);
  return static_cast<std::size_t>(std::max(0, coded)) * static_cast<std::size_t>(sealed_tables(options_, size_class));
}

bool Home::room_to_seal(Block block) const {
  if (block == 0) return true;
  for (std::int32_t size_class = 1; size_class < arena_.classes(); ++size_class)
    if (arena_.free_slots(size_class) < static_cast<std::size_t>(sealed_tables(options_, size_class))) return false;
  return true;
}

void Home::seal_full(Stream& stream, Step step) {
  for (Block left = blocks_to_seal(stream); left > 0 && room_to_seal(stream.sealed_); --left, ++stream.sealed_)
    for (std::int32_t layer = 0; layer < options_.layers; ++layer) seal_page(stream, layer, stream.sealed_, step);
}

void Home::encode(DirectoryEntry& entry, std::int32_t layer, PageKey const& key) {
  Stopwatch const watch{encode_seconds_};
  kernels::CodedLayout const layout = options_.codecs->layout(layer);
  Slot const coded = arena_.take(sealed_class(options_, layer));
  arena_.device().encode(arena_.view(0), arena_.place(entry.local), options_.forms->at(layer, Level::warm), arena_.payload(coded).data());
  arena_.book(coded, layout.bytes, false);
  arena_.header(coded).codec = options_.codecs->id(layer);
  if (options_.encode_watch != nullptr) {
    Arena::HostPage const page = arena_.host_page(entry.local);
    options_.encode_watch->encoded(key, page.pool, page.slot, layout, arena_.read(coded, layout.bytes).data());
  }
  arena_.give_back(entry.local);
  entry.local = coded;
}

void Home::seal_page(Stream& stream, std::int32_t layer, Block block, Step step) {
  DirectoryEntry& entry = stream.directory_.at(layer, block);
  Arena::HostPage const page = experts_.wants_keys() || cache_policy_ != nullptr ? arena_.host_page(entry.local) : Arena::HostPage{};
  entry.expert = experts_.choose(stream, layer, block, page.pool, page.slot);
  if (cache_policy_ != nullptr) cache_policy_->sealed(stream, layer, block, page.pool, page.slot);
  std::size_t bytes = options_.layout.bytes();
  arena_.header(entry.local) = {};
  if (block > 0 && sealed_class(options_, layer) > 0) {
    encode(entry, layer, key_of(options_, stream.id_, layer, block));
    bytes = options_.codecs->layout(layer).bytes;
    if (cache_policy_ != nullptr)
      cache_policy_->encoded(stream, layer, block, arena_.errors(entry.local, options_.codecs->layout(layer)));
  }
  PageHeader& header = arena_.header(entry.local);
  header.key = key_of(options_, stream.id_, layer, block);
  header.first_position = first_position(block, options_.layout.page_tokens);
  header.tokens = static_cast<std::uint32_t>(options_.layout.page_tokens);
  header.fingerprint = options_.fingerprint;
  header.epoch = placement_.epoch();
  header.step = static_cast<std::uint32_t>(step);
  header.expert = entry.expert;
  header.home = static_cast<std::uint16_t>(world_.rank());
  arena_.seal(header, entry.local, bytes);
  entry.life = PageLife::sealed;
  ++counts_.pages_sealed;
  arena_.events().record(PageEvent::seal, header.key, -1, entry.local, arena_.generation(entry.local), header.payload_bytes);
  if (!options_.local && block > 0) settle({&stream, layer, block, bucket_for(entry.expert, stream.id_, block), 0});
}

}  // namespace pikv::shards
