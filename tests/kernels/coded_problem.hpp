#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "attend_problem.hpp"
#include "kernels/coded.hpp"

namespace pikv::kernels {

inline char const* name_of(Element element) {
  constexpr std::array<char const*, 9> names{"f32", "bf16", "f16", "int8", "int4", "fp8", "int3", "int2", "mixed"};
  return names[static_cast<std::size_t>(element)];
}

/// Owns one head's map: `decode` has orthonormal columns, `encode` is its transpose, for every other head a little off; the mean is not 0.
struct OwnedMap {
  std::vector<float> encode, decode, mean, feedback;
  LinearMap map;

  /// The identity, with feedback.
  OwnedMap(std::int32_t d, std::uint32_t seed) : mean(static_cast<std::size_t>(d), 0.0f) {
    std::int32_t const rank = (d + 7) / 8 * 8;
    encode.assign(static_cast<std::size_t>(rank * d), 0.0f);
    decode = encode;
    for (std::int32_t i = 0; i < d; ++i) encode[static_cast<std::size_t>(i * d + i)] = decode[static_cast<std::size_t>(i * rank + i)] = 1;
    feedback = random_floats(static_cast<std::size_t>(rank * rank), seed, 0.3f);
    map = {rank, encode.data(), decode.data(), mean.data(), rank == d, feedback.data()};
  }

  OwnedMap(std::int32_t d, std::int32_t rank, std::uint32_t seed) : encode(d * rank), decode(d * rank), mean(random_floats(d, seed + 2)) {
    auto const random = random_floats(static_cast<std::size_t>(d) * rank, seed);
    std::vector<double> columns(random.begin(), random.end());
    bool const exact = seed / 10 % 2 == 1;
    auto const noise = random_floats(static_cast<std::size_t>(d) * rank, seed + 1, exact ? 0.0f : 1e-3f);
    for (std::int32_t j = 0; j < rank && j < d; ++j) {
      double* const own = columns.data() + j * d;
      for (std::int32_t k = 0; k <= j; ++k) {
        double const* const other = columns.data() + k * d;
        double dot = 0;
        for (std::int32_t i = 0; i < d; ++i) dot += own[i] * other[i];
        if (k == j) dot = 1 - 1 / std::sqrt(dot);
        for (std::int32_t i = 0; i < d; ++i) own[i] -= dot * other[i];
      }
      for (std::int32_t i = 0; i < d; ++i) {
        decode[i * rank + j] = static_cast<float>(own[i]);
        encode[j * d + i] = decode[i * rank + j] + noise[j * d + i];
      }
    }
    map = {rank, encode.data(), decode.data(), mean.data(), exact};   // no feedback
  }

  /// Becomes the first rows of a Hadamard matrix, mean 0. Views of it stay good, but say what they said of orthonormal.
  void be_hadamard(std::int32_t d) {
    std::ranges::fill(mean, 0.0f);
    for (std::int32_t j = 0; j < map.rank; ++j)
      for (std::int32_t i = 0; i < d; ++i)
        encode[static_cast<std::size_t>(j * d + i)] = decode[static_cast<std::size_t>(i * map.rank + j)] =
            (std::popcount(static_cast<std::uint32_t>(i & j)) % 2 == 0 ? 1.0f : -1.0f) / std::sqrt(static_cast<float>(d));
  }
};

/// Bits of each strip of mixed numbers: of keys other than their neighbours', of values by groups of 32.
inline std::vector<std::vector<std::uint8_t>> mixed_bits(std::int32_t heads, std::int32_t width, bool keys) {
  std::vector<std::vector<std::uint8_t>> bits(static_cast<std::size_t>(heads));
  for (std::size_t head = 0; head < bits.size(); ++head)
    for (std::int32_t strip = 0; strip < (width + 7) / 8; ++strip)
      bits[head].push_back(static_cast<std::uint8_t>(2 + (head + static_cast<std::size_t>(keys ? strip : strip / 4 + 1)) % 3));
  return bits;
}

enum class Kind { identity, map, own, fed };

struct Codec {
  Element element;
  Kind kind;
  std::int32_t rank;
  std::string text() const {
    return std::string{name_of(element)} + (kind == Kind::identity ? "" : kind == Kind::fed ? " fed" : (kind == Kind::map ? " map " : " own ") + std::to_string(rank));
  }
};

/// A problem whose pages are full, as coded pages, and what these stand for as pages of f32.
struct CodedProblem {
  Problem plain, rebuilt;
  std::vector<OwnedMap> maps;
  std::unique_ptr<CodedShape> shape;
  CodedLayout layout;
  std::vector<std::byte> memory;
  std::size_t slot_bytes = 0;

  CodedProblem(Problem const& given, Codec const& k, Codec const& v) : plain{given}, rebuilt{given} {
    std::int32_t const d = plain.layout.head_dim, heads = plain.layout.kv_heads;
    maps.reserve(2 * heads);
    for (std::int32_t i = 0; i < 2 * heads; ++i) {
      Codec const& codec = i < heads ? k : v;
      if (codec.kind == Kind::map) maps.emplace_back(d, codec.rank, 10u * i);
      if (codec.kind == Kind::fed) maps.emplace_back(d, 10u * i);
    }
    std::vector<LinearMap> k_maps, v_maps;
    std::size_t next = 0;
    if (k.kind == Kind::map || k.kind == Kind::fed)
      for (std::int32_t i = 0; i < heads; ++i) k_maps.push_back(maps[next++].map);
    if (v.kind == Kind::map || v.kind == Kind::fed)
      for (std::int32_t i = 0; i < heads; ++i) v_maps.push_back(maps[next++].map);
    auto const k_bits = mixed_bits(heads, k.rank, true), v_bits = mixed_bits(heads, v.rank, false);
    shape = std::make_unique<CodedShape>(plain.layout, PartSpec{k.element, k_maps, k.kind == Kind::own ? k.rank : 0, k_bits},
                                         PartSpec{v.element, v_maps, v.kind == Kind::own ? v.rank : 0, v_bits});
    layout = shape->layout();
    slot_bytes = (layout.bytes + 63) / 64 * 64 + 64;
    memory.assign((plain.slots.size() + 2) * slot_bytes + 64, std::byte{0xFF});
    rebuilt.layout.dtype = DType::f32;
    rebuilt.memory.assign((plain.slots.size() + 2) * rebuilt.slot_bytes(), std::byte{0xFF});
  }

  CodedPool pool() {
    auto const at = reinterpret_cast<std::uintptr_t>(memory.data());
    return {memory.data() + (64 - at % 64) % 64, slot_bytes, layout};
  }
  template <class EncodePage, class DecodePage>
  void encode_all(EncodePage const& encode_page, DecodePage const& decode_page) {
    for (std::int32_t slot : plain.slots) {
      encode_page(plain.pool(), slot, layout, pool().page(slot));
      decode_page(layout, pool().page(slot), rebuilt.pool(), slot);
    }
  }
  template <class Attend>
  Partial attend(Attend const& attend_coded, std::vector<float>* page_lse = nullptr) {
    Partial out = unwritten_partial(plain);
    if (page_lse) page_lse->assign(plain.lse_count(), std::numeric_limits<float>::quiet_NaN());
    attend_coded(pool(), rebuilt.plan(), plain.q.data(), plain.q_heads, plain.scale, out.view(), page_lse ? page_lse->data() : nullptr);
    return out;
  }
};

inline Partial attend_coded_on_host(CodedProblem& problem, std::vector<float>* page_lse = nullptr) {
  return problem.attend(
      [](CodedPool const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* lse) {
        Stream stream;
        host::attend_coded(pool, plan, q, q_heads, scale, out, lse, stream);
      },
      page_lse);
}

}  // namespace pikv::kernels
