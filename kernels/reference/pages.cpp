#include "kernels/pages.hpp"

#include <cstring>

namespace pikv::kernels::reference {

void gather(SlotsView const& from, std::int32_t const* slots, std::int32_t count, std::byte* block) {
  for (std::int32_t i = 0; i < count; ++i, block += from.page_bytes)
    std::memcpy(block, from.base + static_cast<std::size_t>(slots[i]) * from.slot_bytes, from.page_bytes);
}

void scatter(std::byte const* block, std::int32_t const* slots, std::int32_t count, SlotsView const& to) {
  for (std::int32_t i = 0; i < count; ++i, block += to.page_bytes)
    std::memcpy(to.base + static_cast<std::size_t>(slots[i]) * to.slot_bytes, block, to.page_bytes);
}

}  // namespace pikv::kernels::reference
