#include "shards/tiers.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "shards/page_key.hpp"

namespace pikv::shards {

Tiers::Tiers(Arena& arena, StoreOptions const& options, Counts& counts)
    : arena_{arena}, options_{options}, counts_{counts}, copies_(static_cast<std::size_t>(arena.classes())) {
  if (!options.tiers) return;
  if (!options.local) throw std::logic_error("tiers: only pages that stay at their home can be moved between tiers");
  std::size_t largest = 0;
  for (std::int32_t table = 0; table < options.layers; ++table) largest = std::max(largest, sealed_bytes(options, table));
  slower_[0] = make_host_tier(largest, options.tier_host_bytes);
  slower_[1] = make_file_tier(largest, options.tier_folder.empty() ? default_tier_folder() : options.tier_folder);
  payload_.resize(largest);
  asked_.reserve(static_cast<std::size_t>(options.most_streams) * static_cast<std::size_t>(options.most_blocks) * static_cast<std::size_t>(options.tables_per_layer));
}

bool Tiers::move(Stream& stream, std::int32_t table, Block block, TierKind to) {
  DirectoryEntry const& entry = stream.directory_.at(table, block);
  if (entry.rotten) return false;
  if (entry.life == PageLife::sealed) return to != TierKind::fast && leave(stream, table, block, to);
  if (entry.life != PageLife::demoted || to == entry.place.tier) return false;
  return to == TierKind::fast ? come_back(stream, table, block) : change(stream, table, block, to);
}

bool Tiers::leave(Stream& stream, std::int32_t table, Block block, TierKind to) {
  DirectoryEntry& entry = stream.directory_.at(table, block);
  if (tier(to).room() == 0) return false;
  PageKey const key = key_of(options_, stream.id_, table, block);
  PageHeader const& header = arena_.header(entry.local);
  ++counts_.checked;
  if (arena_.verify(header, entry.local, key, header.generation, options_.fingerprint) != Verdict::good) {
    ++counts_.corrupt;
    arena_.events().record(PageEvent::corrupt, key, -1, entry.local, arena_.generation(entry.local));
    entry.rotten = true;
    return false;
  }
  header_ = header;
  put(stream, table, block, to, arena_.read(entry.local, sealed_bytes(options_, table)));
  arena_.give_back(entry.local);
  entry.local = {};
  entry.life = PageLife::demoted;
  return true;
}

// The page of header_.
void Tiers::put(Stream& stream, std::int32_t table, Block block, TierKind to, std::span<std::byte const> payload) {
  DirectoryEntry& entry = stream.directory_.at(table, block);
  bool const down = to > entry.place.tier;
  header_.generation = ++generation_;
  stamp(header_);
  entry.place = {to, tier(to).put(header_, payload)};
  entry.generation = generation_;
  ++(down ? counts_.pages_demoted : counts_.pages_promoted);
  arena_.events().record(down ? PageEvent::demote : PageEvent::promote, stream.id_, table, block, -1, {}, 0, payload.size());
}

// To header_ and payload_.
bool Tiers::get(Copy const& page) {
  DirectoryEntry const& entry = page.stream->directory_.at(page.table, page.block);
  ++counts_.checked;
  std::span<std::byte> const payload = std::span{payload_}.first(sealed_bytes(options_, page.table));
  return tier(entry.place.tier).get(entry.place.at, header_, payload) &&
         verify(header_, payload, key_of(options_, page.stream->id_, page.table, page.block), entry.generation, options_.fingerprint) == Verdict::good;
}

bool Tiers::get_to_slot(Copy const& page) {
  DirectoryEntry const& entry = page.stream->directory_.at(page.table, page.block);
  PageHeader& header = arena_.header(page.slot);
  ++counts_.checked;
  auto const bring = [&](std::span<std::byte> into) { return tier(entry.place.tier).get(entry.place.at, header, into); };
  return arena_.fill(page.slot, sealed_bytes(options_, page.table), bring) &&
         arena_.verify(header, page.slot, key_of(options_, page.stream->id_, page.table, page.block), entry.generation, options_.fingerprint) == Verdict::good;
}

void Tiers::lose(Stream& stream, std::int32_t table, Block block) {
  DirectoryEntry& entry = stream.directory_.at(table, block);
  ++counts_.corrupt;
  arena_.events().record(PageEvent::corrupt, stream.id_, table, block, -1, {}, entry.generation);
  tier(entry.place.tier).erase(entry.place.at);
  entry.place = {};
  entry.life = PageLife::lost;
  entry.rotten = true;   // whoever reads it finds it so
}

// What is staged in a layer has to find room, too.
bool Tiers::come_back(Stream& stream, std::int32_t table, Block block) {
  std::int32_t const size_class = sealed_class(options_, table);
  if (arena_.free_slots(size_class) <= room_for_copies(size_class)) return false;
  DirectoryEntry& entry = stream.directory_.at(table, block);
  Slot const slot = arena_.take(size_class);
  if (!get_to_slot({&stream, table, block, slot})) {
    arena_.give_back(slot);
    lose(stream, table, block);
    return false;
  }
  arena_.book(slot, sealed_bytes(options_, table), false);
  tier(entry.place.tier).erase(entry.place.at);
  entry.place = {};
  entry.local = slot;
  entry.life = PageLife::sealed;
  ++counts_.pages_promoted;
  arena_.events().record(PageEvent::promote, stream.id_, table, block, -1, slot, arena_.generation(slot), sealed_bytes(options_, table));
  return true;
}

bool Tiers::change(Stream& stream, std::int32_t table, Block block, TierKind to) {
  if (tier(to).room() == 0) return false;
  if (!get({&stream, table, block, {}})) {
    lose(stream, table, block);
    return false;
  }
  TierPlace const before = stream.directory_.at(table, block).place;
  put(stream, table, block, to, std::span{payload_}.first(sealed_bytes(options_, table)));
  tier(before.tier).erase(before.at);
  return true;
}

void Tiers::drop(Stream& stream, Block from) {
  if (!on()) return;
  for (Block block = from; block < stream.directory_.blocks(); ++block)
    for (std::int32_t table = 0; table < options_.layers; ++table) {
      DirectoryEntry& entry = stream.directory_.at(table, block);
      if (!entry.place.valid()) continue;
      tier(entry.place.tier).erase(entry.place.at);
      entry.place = {};
    }
}

bool Tiers::stage(std::vector<Damage>& damages) {
  for (; staged_ < next_; ++staged_) {
    Copy const& copy = asked_[staged_];
    if (!copy.slot.valid()) continue;
    copy.stream->directory_.at(copy.table, copy.block).replica = {};
    arena_.give_back(copy.slot);
  }
  if (next_ == asked_.size()) {
    asked_.clear();
    next_ = staged_ = 0;
    return false;
  }
  std::ranges::fill(copies_, 0);
  for (; next_ < asked_.size(); ++next_) {
    Copy& copy = asked_[next_];
    std::int32_t const size_class = sealed_class(options_, copy.table);
    std::size_t& copies = copies_[static_cast<std::size_t>(size_class)];
    if (copies < room_for_copies(size_class)) copy.slot = arena_.take(size_class);
    if (!copy.slot.valid()) break;
    if (get_to_slot(copy)) {
      arena_.book(copy.slot, sealed_bytes(options_, copy.table), true);
      copy.stream->directory_.at(copy.table, copy.block).replica = copy.slot;
      ++counts_.tier_reads;
      ++copies;
      continue;
    }
    arena_.give_back(copy.slot);
    copy.slot = {};
    lose(*copy.stream, copy.table, copy.block);
    ++counts_.lost;
    arena_.events().record(PageEvent::miss, copy.stream->id_, copy.table, copy.block);
    damages.push_back({copy.stream, copy.block});
  }
  if (next_ == staged_) throw std::logic_error("tiers: no slot is left for a page that is read");
  return true;
}

}  // namespace pikv::shards
