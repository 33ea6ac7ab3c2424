#include "shards/scrub.hpp"

#include <algorithm>

namespace pikv::shards {

Scrub::Scrub(Arena& arena, Owner const& owner, StoreOptions const& options, Counts& counts)
    : arena_{arena}, owner_{owner}, options_{options}, counts_{counts} {}

std::span<Slot const> Scrub::step() {
  rotten_.clear();
  auto const slots = static_cast<std::size_t>(arena_.end());
  std::size_t page_bytes = 0;   // the largest
  for (std::int32_t c = 0; c < arena_.classes(); ++c) page_bytes = std::max(page_bytes, arena_.payload_bytes(c));
  credit_ += options_.scrub_bytes_per_step;
  for (std::size_t looks = std::min(slots, most_looks); looks > 0 && credit_ >= page_bytes; --looks) {
    Slot const slot{static_cast<std::int32_t>(next_)};
    next_ = (next_ + 1) % slots;
    if (!arena_.is_slot(slot) || !holds_page(slot)) continue;
    credit_ -= arena_.payload(slot).size();
    ++counts_.checked;
    ++counts_.scrubbed;
    if (!sound(slot)) rotten_.push_back(slot);
  }
  credit_ %= page_bytes;   // what found no page is not saved
  return rotten_;
}

bool Scrub::holds_page(Slot slot) { return owner_.indexed(slot).home >= 0 || (arena_.booked(slot) && arena_.header(slot).state == PageState::ready); }

// An indexed page is held against what the index knows; peers write to this memory. Own pages are held against their own headers.
bool Scrub::sound(Slot slot) {
  PageHeader const& header = arena_.header(slot);
  IndexedPage const& indexed = owner_.indexed(slot);
  bool const own = indexed.home < 0;
  return arena_.verify(header, slot, own ? header.key : indexed.key, own ? header.generation : arena_.generation(slot),
                options_.fingerprint) == Verdict::good;
}

}   // namespace pikv::shards
