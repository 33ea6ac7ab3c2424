// Included once per Highway target, hence the guard of its own.
#if defined(PIKV_KERNELS_HOST_ATTEND_CODED_MANY_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef PIKV_KERNELS_HOST_ATTEND_CODED_MANY_INL
#undef PIKV_KERNELS_HOST_ATTEND_CODED_MANY_INL
#else
#define PIKV_KERNELS_HOST_ATTEND_CODED_MANY_INL
#endif

#include "kernels/host/attend_many-inl.hpp"
#include "kernels/host/coded_load-inl.hpp"
#include "kernels/host/coded_map-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

/// Where a tile's coded pages are unpacked, unit by unit; floats in all for widths of up to `most`.
struct Unpacked {
  float *numbers, *lo, *step, *own;
  Unpacked(float* scratch, std::size_t most) : numbers{scratch}, lo{numbers + unit_tokens * most}, step{lo + most}, own{step + most} {}
  static std::size_t floats(std::size_t most) { return (2 * unit_tokens + 2) * most + 64; }
};

/// The groups' ends and steps at `at` as fp32; 0 and the scale of what has no groups.
template <Element element>
HWY_INLINE void unpack_scales(CodedUnit const& unit, std::size_t at, std::size_t count, Unpacked const& to) {
  if constexpr (has_steps(element)) {
    by_vectors(count, [&](auto d, std::size_t i) HWY_ATTR {
      auto const step = load_steps<element>(d, unit, at + i);
      hn::StoreU(load_lower_ends<element>(d, unit, at + i, step), d, to.lo + i);
      hn::StoreU(step, d, to.step + i);
    });
  } else {
    std::fill_n(to.lo, count, 0.0f);
    std::fill_n(to.step, count, element == Element::fp8 ? 256 * unit.scale : 1.0f);
  }
}

/// Codes first .. end of a vector of lanes, from `at` on and `next` bytes apart, by their scales into to.numbers [..][stride], from `place` of a row on.
template <Element element, class D>
HWY_INLINE void unpack_lanes(D d, std::byte const* at, std::size_t next, std::int32_t first, std::int32_t end, Unpacked const& to, std::size_t stride, std::size_t place) {
  constexpr int n = numbers_together(element);
  for (std::int32_t i = first; i < end; i += n, at += next) {
    hn::Vec<D> x[n];
    load_codes<element>(d, at, x);
    for (int k = 0; k < n; ++k) hn::StoreU(hn::MulAdd(hn::Set(d, to.step[i + k]), x[k], hn::Set(d, to.lo[i + k])), d, to.numbers + (i + k) * stride + place);
  }
}

/// Numbers first .. end of keys, that lie at `codes`.
template <Element element>
HWY_INLINE void unpack_numbers(CodedUnit const& keys, std::byte const* codes, std::int32_t first, std::int32_t end, Unpacked const& to) {
  constexpr std::size_t bytes = bytes_together(element);
  by_vectors(keys.tokens, [&](auto d, std::size_t t) HWY_ATTR {
    unpack_lanes<element>(d, codes + (keys.first + t) * bytes, keys.page_tokens * bytes, first, end, to, unit_tokens, t);
  });
}

/// to.numbers [width][unit_tokens].
template <Element element>
HWY_INLINE void unpack_keys(CodedUnit const& keys, Unpacked const& to) {
  unpack_scales<element>(keys, 0, keys.width, to);
  if constexpr (element == Element::mixed) {
    for (std::int32_t i = 0; i < keys.width; i += strip_numbers) {
      CodedStrip const& strip = keys.strips[i / strip_numbers];
      std::byte const* const codes = keys.codes + static_cast<std::size_t>(keys.page_tokens) * strip.before;
      by_bits(strip.bits, [&](auto of) HWY_ATTR { unpack_numbers<of()>(keys, codes, i, i + strip_numbers, to); });
    }
  } else {
    unpack_numbers<element>(keys, keys.codes, 0, keys.width, to);
  }
}

/// A group of 32 numbers, whose scales are in `to`.
template <Element element>
HWY_INLINE void unpack_group(CodedUnit const& values, std::size_t begin, Unpacked const& to) {
  std::size_t const width = values.width;
  by_vectors(std::min<std::size_t>(32, width - begin), [&](auto d, std::size_t in_group) HWY_ATTR {
    auto const [at, next] = value_words<element>(values, begin + in_group);
    unpack_lanes<element>(d, at, next, 0, values.tokens, to, width, begin + in_group);
  });
}

/// to.numbers [tokens][width].
template <Element element>
HWY_INLINE void unpack_values(CodedUnit const& values, Unpacked const& to) {
  for (std::size_t begin = 0; begin < static_cast<std::size_t>(values.width); begin += 32) {
    unpack_scales<element>(values, begin / 32 * values.page_tokens + values.first, values.tokens, to);
    if constexpr (element == Element::mixed)
      by_bits(values.strips[begin / strip_numbers].bits, [&](auto of) HWY_ATTR { unpack_group<of()>(values, begin, to); });
    else
      unpack_group<element>(values, begin, to);
  }
}

/// Pages too short for a vector, and their tails.
inline void unpack_plainly(CodedLayout const& layout, Part part, std::int32_t kv_head, std::byte const* page, CodedUnit const& unit,
                           Unpacked const& to) {
  CodedPart const coded{layout, part, kv_head};
  for (std::int32_t t = 0; t < unit.tokens; ++t)
    for (std::int32_t i = 0; i < unit.width; ++i)
      to.numbers[part == Part::keys ? i * unit_tokens + t : t * unit.width + i] = coded.load(page, unit.first + t, i);
}

/// Calls body(page, unit, from, to, at) for each unit of the tile: its tokens from .. to, of which the first is key `at` of the tile.
template <class Body>
HWY_INLINE void by_units(Work const& work, Part part, Body const& body) {
  CodedLayout const& layout = work.job.coded->layout;
  std::int32_t const tokens = std::min(layout.page_tokens, unit_tokens);
  for (std::int32_t s = 0; s < work.tile.segments; ++s) {
    Tile::Segment const& segment = work.tile.segment[s];
    std::byte const* const page = work.job.coded->page(work.job.plan.slots[segment.page]);
    std::int32_t const end = segment.token + segment.end - segment.begin;
    for (std::int32_t first = segment.token / tokens * tokens; first < end; first += tokens) {
      std::int32_t const from = std::max(first, segment.token);
      body(page, unit_of(layout, part, work.run.kv_head, page, first), from - first, std::min(end, first + tokens) - first,
           segment.begin + from - segment.token);
    }
  }
}

template <Element element>
HWY_INLINE void convert_coded_keys(Work const& work, Unpacked const& to) {
  CodedLayout const& layout = work.job.coded->layout;
  CodedHead const& head = layout.k[work.run.kv_head];
  std::size_t const width = work.job.key_width;
  by_units(work, Part::keys, [&](std::byte const* page, CodedUnit const& keys, std::int32_t from, std::int32_t end, std::int32_t at) HWY_ATTR {
    if (layout.page_tokens % 8 == 0)
      unpack_keys<element>(keys, to);
    else
      unpack_plainly(layout, Part::keys, work.run.kv_head, page, keys, to);
    if (head.basis == 0) {
      for (std::size_t i = 0; i < width; ++i) {
        float* const row = work.keys + i * tile_keys + at;
        if (i < static_cast<std::size_t>(keys.width))
          std::copy_n(to.numbers + i * unit_tokens + from, end - from, row);
        else
          std::fill_n(row, end - from, 0.0f);
      }
      return;
    }
    StoredBasis const basis{page + head.basis, width, head.rank};
    for (std::int32_t t = from; t < end; ++t) {
      for (std::int32_t j = 0; j < head.rank; ++j) to.lo[j] = to.numbers[j * unit_tokens + t];
      std::fill_n(to.own, width, 0.0f);
      add_rebuilt(basis, to.lo, 1, 0, 1, to.own);
      for (std::size_t i = 0; i < width; ++i) work.keys[i * tile_keys + at + t - from] = to.own[i];
    }
  });
  for (std::size_t i = 0; i < width; ++i) std::fill(work.keys + i * tile_keys + work.tile.count, work.keys + i * tile_keys + work.tile.padded, 0.0f);
}

template <Element element>
HWY_INLINE void convert_coded_values(Work const& work, Unpacked const& to) {
  CodedLayout const& layout = work.job.coded->layout;
  CodedHead const& head = layout.v[work.run.kv_head];
  std::size_t const columns = work.job.columns();
  by_units(work, Part::values, [&](std::byte const* page, CodedUnit const& values, std::int32_t from, std::int32_t end, std::int32_t at) HWY_ATTR {
    if (layout.page_tokens % 8 == 0)
      unpack_values<element>(values, to);
    else
      unpack_plainly(layout, Part::values, work.run.kv_head, page, values, to);
    for (std::int32_t t = from; t < end; ++t) {
      float* const row = work.values + (at + t - from) * columns;
      float const* const numbers = to.numbers + t * values.width;
      std::fill_n(row, columns, 0.0f);
      if (head.basis == 0)
        std::copy_n(numbers, values.width, row);
      else
        add_rebuilt({page + head.basis, work.job.value_width, head.rank}, numbers, 1, 0, 1, row);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#endif
