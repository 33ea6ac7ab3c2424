#include "kernels/host/coded_unit.hpp"

#include <algorithm>

#include "kernels/coded_page.hpp"
#include "kernels/swiglu.hpp"

namespace pikv::kernels::host {

void fetch_ahead(CodedUnit& unit, std::byte const* page, std::byte const* next, Element element, Part part) {
  unit.fetch = next - page;
  unit.ahead = unit.codes + unit.fetch + code_bytes(element, part, unit.page_tokens, unit.width) / static_cast<std::size_t>(unit.page_tokens) * unit.first;
}

CodedUnit unit_of(CodedLayout const& layout, Part part, std::int32_t kv_head, std::byte const* page, std::int32_t first) {
  bool const keys = part == Part::keys;
  CodedHead const& head = (keys ? layout.k : layout.v)[kv_head];
  Element const element = keys ? layout.k_element : layout.v_element;
  std::int32_t const p = layout.page_tokens, tokens = std::min(p, unit_tokens);
  CodedUnit unit{page + head.codes, nullptr, nullptr, 1, p, first, tokens, head.width, page + head.codes, 0};
  if (element == Element::fp8) unit.scale = *reinterpret_cast<float const*>(page + head.scales);
  if (element != Element::int8 && element != Element::int4) return unit;
  unit.lo = reinterpret_cast<std::uint16_t const*>(page + head.scales);
  unit.step = unit.lo + scale_bytes(element, part, p, head.width) / 4;
  if (!keys) return unit;
  unit.lo += static_cast<std::ptrdiff_t>(first / tokens) * head.width;
  unit.step += static_cast<std::ptrdiff_t>(first / tokens) * head.width;
  return unit;
}

char const* coded_simd() { return integer_kernels() ? integer_kernels()->name : simd_target(); }

}  // namespace pikv::kernels::host
