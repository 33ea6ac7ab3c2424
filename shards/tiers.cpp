#include "shards/tiers.hpp"

#include <stdexcept>
#include <string>

#include "shards/page_key.hpp"

namespace pikv::shards {

Tiers::Tiers(Arena& arena, StoreOptions const& options, Counts& counts) : arena_{arena}, options_{options}, counts_{counts} {
  if (!options.tiers) return;
  if (!options.local) throw std::logic_error("tiers: only pages that stay at their home can be moved between tiers");
  slower_[0] = make_host_tier(options.layout.bytes(), options.tier_host_bytes);
  slower_[1] = make_file_tier(options.layout.bytes(), options.tier_folder.empty() ? default_tier_folder() : options.tier_folder);
  payload_.resize(options.layout.bytes());
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
  if (verify(header, arena_.payload(entry.local), key, header.generation, options_.fingerprint) != Verdict::good) {
    ++counts_.corrupt;
    arena_.events().record(PageEvent::corrupt, key, -1, entry.local, arena_.generation(entry.local));
    entry.rotten = true;
    return false;
  }
  header_ = header;
  put(stream, table, block, to, arena_.payload(entry.local));
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

bool Tiers::get(Copy const& page, PageHeader& header, std::span<std::byte> payload) {
  DirectoryEntry const& entry = page.stream->directory_.at(page.table, page.block);
  ++counts_.checked;
  return tier(entry.place.tier).get(entry.place.at, header, payload) &&
         verify(header, payload, key_of(options_, page.stream->id_, page.table, page.block), entry.generation, options_.fingerprint) == Verdict::good;
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
  if (arena_.free_slots(0) <= options_.replica_slots) return false;
  DirectoryEntry& entry = stream.directory_.at(table, block);
  Slot const slot = arena_.take(0);
  if (!get({&stream, table, block, slot}, arena_.header(slot), arena_.payload(slot))) {
    arena_.give_back(slot);
    lose(stream, table, block);
    return false;
  }
  arena_.book(slot, options_.layout.bytes(), false);
  tier(entry.place.tier).erase(entry.place.at);
  entry.place = {};
  entry.local = slot;
  entry.life = PageLife::sealed;
  ++counts_.pages_promoted;
  arena_.events().record(PageEvent::promote, stream.id_, table, block, -1, slot, arena_.generation(slot), options_.layout.bytes());
  return true;
}

bool Tiers::change(Stream& stream, std::int32_t table, Block block, TierKind to) {
  if (tier(to).room() == 0) return false;
  if (!get({&stream, table, block, {}}, header_, payload_)) {
    lose(stream, table, block);
    return false;
  }
  TierPlace const before = stream.directory_.at(table, block).place;
  put(stream, table, block, to, payload_);
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
  for (std::size_t copies = 0; next_ < asked_.size() && copies < options_.replica_slots; ++next_) {
    Copy& copy = asked_[next_];
    copy.slot = arena_.take(0);
    if (!copy.slot.valid()) break;
    if (get(copy, arena_.header(copy.slot), arena_.payload(copy.slot))) {
      arena_.book(copy.slot, options_.layout.bytes(), true);
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
