#include "kernels/coded.hpp"

namespace pikv::kernels::host {

void encode_page(PoolView const& from, std::int32_t slot, CodedLayout const& layout, std::byte* to) {
  reference::encode_page(from, slot, layout, to);
}

void decode_page(CodedLayout const& layout, std::byte const* from, PoolView const& to, std::int32_t slot) {
  reference::decode_page(layout, from, to, slot);
}

void attend_coded(CodedPool const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* page_lse,
                  Stream&) {
  reference::attend_coded(pool, plan, q, q_heads, scale, out, page_lse);
}

}  // namespace pikv::kernels::host
