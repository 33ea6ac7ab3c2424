#include "kernels/host/coded_unit.hpp"

#include <algorithm>

#include "kernels/coded_page.hpp"
#include "kernels/host/tiles.hpp"
#include "kernels/swiglu.hpp"

namespace pikv::kernels::host {

void fetch_ahead(CodedLayout const& layout, std::int32_t kv_head, std::byte const* page, std::byte const* next, CodedUnit& keys, CodedUnit& values) {
  auto const bytes = [&](Element element, Part part, CodedHead const& head) {   // of the codes of a unit
    return code_bytes(element, part, layout.page_tokens, head) / static_cast<std::size_t>(layout.page_tokens / keys.tokens);
  };
  std::size_t const k = bytes(layout.k_element, Part::keys, layout.k[kv_head]), v = bytes(layout.v_element, Part::values, layout.v[kv_head]);
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
  CodedUnit unit{page + head.codes, nullptr, nullptr, nullptr, nullptr, head.strips, 1, p, first, tokens, head.width, {}, 0};
  if (element == Element::fp8) unit.scale = *reinterpret_cast<float const*>(page + head.scales);
  if (!has_steps(element)) return unit;
  std::ptrdiff_t const block = keys ? static_cast<std::ptrdiff_t>(first / tokens) * head.width : 0;
  std::size_t const scales = scale_bytes(element, part, p, head.width);
  if (element == Element::mixed) {
    unit.zero = reinterpret_cast<std::int8_t const*>(page + head.scales) + block;
    unit.byte_step = reinterpret_cast<std::uint8_t const*>(unit.zero) + scales / 2;
    return unit;
  }
  unit.lo = reinterpret_cast<std::uint16_t const*>(page + head.scales) + block;
  unit.step = unit.lo + scales / 4;
  return unit;
}

char const* coded_simd() { return integer_kernels() ? integer_kernels()->name : simd_target(); }
char const* bf16_simd() { return tile_kernels() ? tile_kernels()->name : simd_target(); }

}  // namespace pikv::kernels::host
