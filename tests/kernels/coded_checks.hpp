#pragma once

#include <array>
#include <set>

#include "coded_problem.hpp"
#include "kernels/coded_page.hpp"

namespace pikv::kernels {

inline constexpr std::array elements{Element::f32, Element::bf16, Element::f16, Element::int8, Element::int4, Element::int3, Element::int2, Element::mixed, Element::fp8};

/// Sum over denominator, fp64.
inline std::vector<double> quotients(Partial const& partial, std::size_t d) {
  std::vector<double> out(partial.sum.size(), 0.0);
  for (std::size_t i = 0; i < out.size(); ++i)
    if (partial.denom[i / d] > 0) out[i] = static_cast<double>(partial.sum[i]) / partial.denom[i / d];
  return out;
}

inline double largest_difference(std::vector<double> const& a, std::vector<double> const& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]) / std::max(1.0, std::abs(b[i])));
  return most;
}

inline double largest_difference(std::vector<float> const& a, std::vector<float> const& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i]) most = std::max(most, std::abs(double{a[i]} - b[i]) / std::max(1.0, std::abs(double{b[i]})));
  return most;
}

struct CodedCase {
  DType dtype;
  std::int32_t d, kv_heads, share, page_tokens;
  friend std::ostream& operator<<(std::ostream& to, CodedCase const& s) {
    return to << name_of(s.dtype) << " d " << s.d << " heads " << s.kv_heads << " x " << s.share << " page " << s.page_tokens;
  }
};

/// Full pages of which some are read in part, by one row, a few and a chunk of rows that see a part of the last page, and a group without pages.
inline Problem problem_of(CodedCase const& s, std::int32_t long_pages = 3) {
  std::vector<std::int32_t> const pages(static_cast<std::size_t>(long_pages), s.page_tokens);
  Problem p = make_problem({s.dtype, s.kv_heads, s.page_tokens, s.d}, s.kv_heads * s.share,
                           {{1, pages}, {2, {}}, {5, {s.page_tokens, s.page_tokens, s.page_tokens}, 3 * s.page_tokens - 3}, {3, {s.page_tokens}}});
  std::size_t const second = static_cast<std::size_t>(long_pages);
  p.tokens[second - 1] = 1;
  p.tokens[second] = s.page_tokens - 1;
  p.tokens[second + 1] = 0;
  p.tokens[second + 3] = 1;
  return p;
}

/// How far attention on codes may be off: with VNNI queries and weights have 16 bits of the largest of a unit, times its steps, which mixed bits make unlike.
inline double attention_tolerance(Element element, bool on_host) { return !on_host || !has_steps(element) ? 3e-5 : element == Element::mixed ? 2e-3 : 6e-4; }

/// What a page's error may be above the true one for: fp32 sums of d products there and back, of vectors as long as problem_of's.
inline double rounding_allowed(std::int32_t d) { return 1e-5 + 30 * d * 0x1p-24; }

inline std::vector<Codec> codecs_of(CodedCase const& s) {
  std::vector<Codec> codecs;
  for (Element element : elements) {
    if (has_steps(element) && s.page_tokens < 8) continue;
    codecs.push_back({element, Kind::identity, s.d});
    if (has_steps(element)) codecs.push_back({element, Kind::fed, (s.d + 7) / 8 * 8});
    for (std::int32_t rank : std::set<std::int32_t>{8, s.d / 4 / 8 * 8, s.d / 2 / 8 * 8, (s.d + 7) / 8 * 8}) {
      if (rank == 0) continue;
      codecs.push_back({element, Kind::map, rank});
      if (rank == 8 || element == Element::int8) codecs.push_back({element, Kind::own, rank});
    }
  }
  return codecs;
}

/// Distance of token t's vector of a head in two pools.
inline double distance(PoolView const& a, PoolView const& b, std::int32_t slot, Part part, std::int32_t head, std::int32_t token) {
  double squared = 0;
  std::size_t const d = a.layout.head_dim, at = head * a.layout.head_scalars() + token * d;
  for (std::size_t i = at; i < at + d; ++i) {
    double const x = load_scalar(a.layout.dtype, part == Part::keys ? a.keys(slot) : a.values(slot), i);
    double const y = load_scalar(b.layout.dtype, part == Part::keys ? b.keys(slot) : b.values(slot), i);
    squared += (x - y) * (x - y);
  }
  return std::sqrt(squared);
}

}  // namespace pikv::kernels
