#include "kernels/coded.hpp"

namespace pikv::kernels::host {

void encode_page(PoolView const& from, std::int32_t slot, CodedLayout const& layout, std::byte* to) {
  reference::encode_page(from, slot, layout, to);
}

void decode_page(CodedLayout const& layout, std::byte const* from, PoolView const& to, std::int32_t slot) {
  reference::decode_page(layout, from, to, slot);
}

}  // namespace pikv::kernels::host
