#include "kernels/host/coded_unit.hpp"

#include <algorithm>

#include "kernels/coded_page.hpp"
#include "kernels/host/tiles.hpp"
#include "kernels/swiglu.hpp"

namespace pikv::kernels::host {

void fetch_ahead(CodedLayout const& layout, std::byte const* page, std::byte const* next, CodedUnit& keys, CodedUnit& values) {
  auto const bytes = [&](Element element, Part part, std::int32_t width) {   // of the codes of a unit
    return code_bytes(element, part, layout.page_tokens, width) / static_cast<std::size_t>(layout.page_tokens / keys.tokens);
  };
  std::size_t const k = bytes(layout.k_element, Part::keys, keys.width), v = bytes(layout.v_element, Part::values, values.width);
  keys.fetch = values.fetch = next - page;
  keys.ahead[0] = keys.codes + keys.fetch + k * (keys.first / keys.tokens);
  keys.ahead[1] = values.codes + keys.fetch + v * (keys.first / keys.tokens);
  values.ahead[0] = keys.ahead[0] + k / 128 * 64;
  values.ahead[1] = keys.ahead[1] + v / 128 * 64;
}

CodedUnit unit_of(CodedLayout const& layout, Part part, std::int32_t kv_head, std::byte const* page, std::int32_t first) {
  bool const keys = part == Part::keys;
  CodedHead const& head = (keys ? layout.k : layout.v)[kv_head];
  Element const element = keys ? layout.k_element : layout.v_element;
  std::int32_t const p = layout.page_tokens, tokens = std::min(p, unit_tokens);
  CodedUnit unit{page + head.codes, nullptr, nullptr, 1, p, first, tokens, head.width, {}, 0};
  if (element == Element::fp8) unit.scale = *reinterpret_cast<float const*>(page + head.scales);
  if (code_bits(element) == 0) return unit;
  unit.lo = reinterpret_cast<std::uint16_t const*>(page + head.scales);
  unit.step = unit.lo + scale_bytes(element, part, p, head.width) / 4;
  if (!keys) return unit;
  unit.lo += static_cast<std::ptrdiff_t>(first / tokens) * head.width;
  unit.step += static_cast<std::ptrdiff_t>(first / tokens) * head.width;
  return unit;
}

char const* coded_simd() { return integer_kernels() ? integer_kernels()->name : simd_target(); }
char const* bf16_simd() { return tile_kernels() ? tile_kernels()->name : simd_target(); }

}  // namespace pikv::kernels::host
