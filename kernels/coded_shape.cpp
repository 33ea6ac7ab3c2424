#include <algorithm>

#include "kernels/coded_page.hpp"

namespace pikv::kernels {
namespace {

std::size_t rounded_up(std::size_t bytes, std::size_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

std::vector<CodedStrip> strips_of(std::vector<std::uint8_t> const& bits) {
  std::vector<CodedStrip> strips;
  std::uint16_t before = 0;
  for (std::uint8_t const of : bits) {
    strips.push_back({of, before});
    before = static_cast<std::uint16_t>(before + of);
  }
  return strips;
}

CodedHead place_head(PageLayout const& page, PartSpec const& spec, Part part, std::int32_t kv_head, CodedStrip const* strips, std::size_t& at) {
  CodedHead head;
  head.rank = spec.own_rank > 0 ? spec.own_rank : page.head_dim;
  if (spec.own_rank == 0 && !spec.maps.empty() && !spec.maps[kv_head].identity()) head.rank = spec.maps[kv_head].rank;
  head.width = (head.rank + 7) / 8 * 8;
  head.strips = strips;
  if (spec.own_rank > 0) {
    head.basis = static_cast<std::uint32_t>(at);
    at = rounded_up(at + basis_bytes(page.head_dim, head.rank), 4);
  }
  std::size_t const scales = scale_bytes(spec.element, part, page.page_tokens, head.width);
  if (scales > 0) head.scales = static_cast<std::uint32_t>(at);
  at = rounded_up(at + scales, 64);
  head.codes = static_cast<std::uint32_t>(at);
  at += code_bytes(spec.element, part, page.page_tokens, head);
  return head;
}

}  // namespace

CodedShape::CodedShape(PageLayout const& page, PartSpec const& k, PartSpec const& v)
    : k_maps_(k.maps.begin(), k.maps.end()), v_maps_(v.maps.begin(), v.maps.end()) {
  std::size_t at = 2 * sizeof(float) * static_cast<std::size_t>(page.kv_heads);
  auto const strips = [this](PartSpec const& spec, std::int32_t head) -> CodedStrip const* {
    if (spec.element != Element::mixed) return nullptr;
    strips_.push_back(strips_of(spec.bits[head]));
    return strips_.back().data();
  };
  for (std::int32_t head = 0; head < page.kv_heads; ++head) {
    k_.push_back(place_head(page, k, Part::keys, head, strips(k, head), at));
    v_.push_back(place_head(page, v, Part::values, head, strips(v, head), at));
  }
  layout_ = {.kv_heads = page.kv_heads,
             .page_tokens = page.page_tokens,
             .head_dim = page.head_dim,
             .k_element = k.element,
             .v_element = v.element,
             .bytes = rounded_up(at, 64)};
}

CodedLayout CodedShape::layout() const {
  CodedLayout layout = layout_;
  layout.k = k_.data();
  layout.v = v_.data();
  layout.k_map = k_maps_.empty() ? nullptr : k_maps_.data();
  layout.v_map = v_maps_.empty() ? nullptr : v_maps_.data();
  return layout;
}

CodedErrors coded_errors(CodedLayout const& layout, std::byte const* page) {
  auto const* errors = reinterpret_cast<float const*>(page);
  std::size_t const heads = layout.kv_heads;
  return {{errors, heads}, {errors + heads, heads}};
}

}  // namespace pikv::kernels
