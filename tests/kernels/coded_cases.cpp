#include <gtest/gtest.h>

#include "backend.hpp"
#include "coded_checks.hpp"

namespace pikv::kernels {
namespace {

/// What is true of every backend; coded_test.cpp holds what is true of the host's alone, on each of its targets.
class CodedCases : public ::testing::TestWithParam<std::tuple<Backend const*, CodedCase>> {
 protected:
  void SetUp() override { PIKV_SKIP_WITHOUT(backend()); }
  Backend const* backend() const { return std::get<0>(GetParam()); }
  CodedCase const& shape() const { return std::get<1>(GetParam()); }
};

TEST_P(CodedCases, AttentionIsThatOnRebuiltPages) {
  auto const plain = problem_of(shape());
  std::size_t const d = plain.layout.head_dim;
  for (Codec const& codec : codecs_of(shape())) {
    SCOPED_TRACE(codec.text());
    CodedProblem p{plain, codec, codec};
    p.encode_all(reference::encode_page, reference::decode_page);
    std::vector<float> wanted_lse, lse;
    Partial const wanted = attend_by_reference(p.rebuilt, &wanted_lse), got = backend()->attend_coded(p, &lse);
    double const close = attention_tolerance(codec.element, backend()->name == std::string_view{"host"});
    EXPECT_LE(largest_difference(quotients(got, d), quotients(wanted, d)), close);
    EXPECT_LE(largest_difference(got.max, wanted.max), close);
    EXPECT_LE(largest_difference(got.denom, wanted.denom), 1e-3);
    EXPECT_LE(largest_difference(lse, wanted_lse), close);
  }
}

TEST_P(CodedCases, EncodesAndDecodesWhatTheReferenceDoesAndNamesItsLargestErrors) {
  auto const plain = problem_of(shape(), 1);
  for (Codec const& codec : codecs_of(shape())) {
    SCOPED_TRACE(codec.text());
    CodedProblem by_reference{plain, codec, codec}, p{plain, codec, codec};
    by_reference.encode_all(reference::encode_page, reference::decode_page);
    backend()->encode(p);
    backend()->decode(p);
    std::size_t const errors_bytes = 2 * sizeof(float) * p.layout.kv_heads;
    bool const same_numbers = codec.kind == Kind::identity || codec.kind == Kind::fed;
    for (std::int32_t slot : plain.slots) {
      std::byte const *const page = p.pool().page(slot), *const wanted = by_reference.pool().page(slot);
      if (same_numbers) {
        EXPECT_TRUE(std::equal(page + errors_bytes, page + p.layout.bytes, wanted + errors_bytes));
      }
      for (std::int32_t head = 0; head < p.layout.kv_heads; ++head)
        for (Part part : {Part::keys, Part::values}) {
          auto const error_of = [&](std::byte const* of) {
            CodedErrors const errors = coded_errors(p.layout, of);
            return (part == Part::keys ? errors.k : errors.v)[head];
          };
          double const close = 2e-2 * error_of(wanted) + 1e-5;   // a code on the edge may fall to either side
          double most = 0;
          for (std::int32_t t = 0; t < p.layout.page_tokens; ++t) {
            most = std::max(most, distance(p.plain.pool(), p.rebuilt.pool(), slot, part, head, t));
            EXPECT_LE(distance(p.rebuilt.pool(), by_reference.rebuilt.pool(), slot, part, head, t), same_numbers ? 1e-6 : 30 * close);
          }
          EXPECT_GE(error_of(page), most);
          EXPECT_LE(error_of(page), 1.001 * most + rounding_allowed(shape().d));
        }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CodedCases,
                         ::testing::Combine(::testing::ValuesIn(backends()),
                                            ::testing::Values(CodedCase{DType::bf16, 64, 1, 4, 32}, CodedCase{DType::f32, 10, 2, 3, 8},
                                                              CodedCase{DType::bf16, 40, 1, 2, 64}, CodedCase{DType::f16, 72, 1, 1, 16},
                                                              CodedCase{DType::bf16, 16, 2, 2, 1})));

class CodedPages : public ::testing::TestWithParam<Backend const*> {
 protected:
  void SetUp() override { PIKV_SKIP_WITHOUT(GetParam()); }
  void encode_and_decode(CodedProblem& p) const {
    GetParam()->encode(p);
    GetParam()->decode(p);
  }
};

TEST_P(CodedPages, NumbersBetweenTheCodesAreOffByAtMostHalfAStep) {
  // methods 3.9: (-1, .08, .46, 2) in 4 bits: step .2, codes 0 5 7 15
  Problem p = make_problem({DType::f32, 1, 8, 8}, 1, {{1, {8}}});
  float const x[] = {-1, 0.08f, 0.46f, 2, -1, 0.08f, 0.46f, 2}, wanted[] = {-1, 0, 0.4f, 2, -1, 0, 0.4f, 2};
  for (std::size_t i = 0; i < 64; ++i) {
    store_scalar(DType::f32, p.pool().keys(p.slots[0]), i, x[i / 8]);
    store_scalar(DType::f32, p.pool().values(p.slots[0]), i, x[i % 8]);
  }
  Codec const int4{Element::int4, Kind::identity, 8};
  CodedProblem coded{p, int4, int4};
  encode_and_decode(coded);
  for (std::size_t i = 0; i < 64; ++i) {
    EXPECT_NEAR(load_scalar(DType::f32, coded.rebuilt.pool().keys(p.slots[0]), i), wanted[i / 8], 2e-3);   // the step is 0.2, rounded up to fp16
    EXPECT_NEAR(load_scalar(DType::f32, coded.rebuilt.pool().values(p.slots[0]), i), wanted[i % 8], 2e-3);
  }
}

// Vectors all of whose sums round the same way: alike in all channels, or one channel alone, turned by a Hadamard matrix.
TEST_P(CodedPages, AnErrorIsNeverBelowTheDistanceWhereRoundingsAddUp) {
  for (std::int32_t const d : {64, 128, 256}) {
    Problem p = make_problem({DType::f32, 1, 8, d}, 1, {{1, {8}}});
    for (std::int32_t i = 0; i < 8 * d; ++i) {
      float const x = (i / d % 2 == 0 || i % d == i / d ? 1.0f : 0.0f) * (1.1f + 0.37f * static_cast<float>(i / d));
      store_scalar(DType::f32, p.pool().keys(p.slots[0]), static_cast<std::size_t>(i), x);
      store_scalar(DType::f32, p.pool().values(p.slots[0]), static_cast<std::size_t>(i), x);
    }
    for (std::int32_t const rank : {d, d / 2})
      for (Element const element : {Element::f32, Element::bf16, Element::f16, Element::int8, Element::mixed}) {
        Codec const codec{element, Kind::map, rank};
        SCOPED_TRACE(codec.text() + " of " + std::to_string(d));
        CodedProblem coded{p, codec, codec};
        for (OwnedMap& map : coded.maps) map.be_hadamard(d);
        GetParam()->encode(coded);
        reference::decode_page(coded.layout, coded.pool().page(p.slots[0]), coded.rebuilt.pool(), p.slots[0]);
        CodedErrors const errors = coded_errors(coded.layout, coded.pool().page(p.slots[0]));
        for (std::int32_t t = 0; t < 8; ++t) {
          EXPECT_GE(errors.k[0], distance(coded.plain.pool(), coded.rebuilt.pool(), p.slots[0], Part::keys, 0, t)) << t;
          EXPECT_GE(errors.v[0], distance(coded.plain.pool(), coded.rebuilt.pool(), p.slots[0], Part::values, 0, t)) << t;
        }
      }
  }
}

TEST_P(CodedPages, AnErrorIsAddedToTheNumbersAfterIt) {
  // number 0: 0 to .7 in 2 bits, step .7 / 3; number 1, in steps of .5, takes on twice its error
  Problem p = make_problem({DType::f32, 1, 8, 8}, 1, {{1, {8}}});
  auto const key = [&](PoolView const& pool, std::size_t token, std::size_t number) { return load_scalar(DType::f32, pool.keys(p.slots[0]), token * 8 + number); };
  for (std::size_t i = 0; i < 64; ++i) store_scalar(DType::f32, p.pool().keys(p.slots[0]), i, i % 8 == 0 ? static_cast<float>(i) / 80 : i == 1 ? 0.0f : i == 9 ? 1.5f : 0.7f);
  Codec const int2{Element::int2, Kind::fed, 8}, int4{Element::int4, Kind::identity, 8};
  CodedProblem coded{p, int2, int4};
  std::ranges::fill(coded.maps[0].feedback, 0.0f);
  coded.maps[0].feedback[1] = 2;   // of number 0, to number 1
  encode_and_decode(coded);
  for (std::size_t t = 0; t < 8; ++t) {
    float const error = key(coded.plain.pool(), t, 0) - key(coded.rebuilt.pool(), t, 0), wanted = key(coded.plain.pool(), t, 1) + 2 * error;
    EXPECT_LE(std::abs(error), 0.7f / 6 + 1e-3f);
    EXPECT_NEAR(key(coded.rebuilt.pool(), t, 1), std::clamp(std::round(wanted * 2) / 2, 0.0f, 1.5f), 2e-3f) << t;
  }
}

TEST_P(CodedPages, AConstantGroupIsExactAndAGroupBeyondFp16Saturates) {
  Problem p = make_problem({DType::f32, 1, 16, 64}, 1, {{1, {16}}});
  for (std::size_t i = 0; i < 1024; ++i) {
    store_scalar(DType::f32, p.pool().keys(p.slots[0]), i, 0.375f);
    store_scalar(DType::f32, p.pool().values(p.slots[0]), i, i % 64 < 32 ? -2.5f : 1e30f);
  }
  for (Element element : {Element::int8, Element::int4, Element::int3, Element::int2}) {
    Codec const codec{element, Kind::identity, 64};
    CodedProblem coded{p, codec, codec};
    encode_and_decode(coded);
    for (std::size_t i = 0; i < 1024; ++i) {
      EXPECT_EQ(load_scalar(DType::f32, coded.rebuilt.pool().keys(p.slots[0]), i), 0.375f);
      EXPECT_EQ(load_scalar(DType::f32, coded.rebuilt.pool().values(p.slots[0]), i), i % 64 < 32 ? -2.5f : 65504.0f);
    }
    EXPECT_GE(coded_errors(coded.layout, coded.pool().page(p.slots[0])).v[0], 5.6e30f);
  }
}

TEST_P(CodedPages, AMixedNumberIsOffByAtMostHalfTheSmallestStepWithWhichItsGroupFits) {
  for (float const size : {1e-5f, 0.03f, 1.0f, 5000.0f})
    for (float const base : {0.0f, 3.0f, -40.0f}) {
      SCOPED_TRACE(std::to_string(size) + " around " + std::to_string(base));
      Problem p = make_problem({DType::f32, 2, 32, 64}, 2, {{1, {32}}});
      for (std::size_t i = 0; i < p.memory.size() / 4; ++i)
        store_scalar(DType::f32, p.memory.data(), i, size * (base + load_scalar(DType::f32, p.memory.data(), i)));
      Codec const mixed{Element::mixed, Kind::identity, 64};
      CodedProblem coded{p, mixed, mixed};
      encode_and_decode(coded);
      for (Part const part : {Part::keys, Part::values})
        for (std::size_t head = 0; head < 2; ++head)
          for (std::size_t g = 0; g < 64; ++g) {   // of keys numbers, of values halves of tokens
            bool const keys = part == Part::keys;
            auto const at = [&](std::size_t i) { return head * 2048 + (keys ? i * 64 + g : g / 2 * 64 + g % 2 * 32 + i); };
            auto const x = [&](CodedProblem& of, bool plain, std::size_t i) {
              PoolView const pool = plain ? of.plain.pool() : of.rebuilt.pool();
              return load_scalar(DType::f32, keys ? pool.keys(p.slots[0]) : pool.values(p.slots[0]), at(i));
            };
            float lo = x(coded, true, 0), hi = lo, off = 0;
            for (std::size_t i = 0; i < 32; ++i) {
              lo = std::min(lo, x(coded, true, i));
              hi = std::max(hi, x(coded, true, i));
              off = std::max(off, std::abs(x(coded, true, i) - x(coded, false, i)));
            }
            int const bits = mixed_bits(2, 64, keys)[head][keys ? g / 8 : g % 2 * 4];
            auto const top = static_cast<float>(top_code(bits));
            float const range = std::max(hi - lo, std::max(hi, -lo) * top / 128);   // the zero is a byte
            EXPECT_LE(off, std::max(range / top, range / (top - 1) * 1.126f) / 2 + 1e-5f);   // steps of 1/8, and up to one for the zero
          }
    }
}

TEST_P(CodedPages, EncodingTwiceChangesNothing) {
  for (Element element : elements) {
    if (element == Element::mixed) continue;   // a group that has become narrower gets a smaller step
    SCOPED_TRACE(name_of(element));
    Problem p = make_problem({DType::f32, 2, 32, 64}, 2, {{1, {32, 32}}});
    if (code_bits(element) > 0)   // ends that fp16 has
      for (std::size_t i = 0; i < p.memory.size() / 4; ++i)
        store_scalar(DType::f32, p.memory.data(), i, from_f16(to_f16(load_scalar(DType::f32, p.memory.data(), i))));
    Codec const codec{element, Kind::identity, 64};
    CodedProblem once{p, codec, codec};
    encode_and_decode(once);
    CodedProblem twice{once.rebuilt, codec, codec};
    encode_and_decode(twice);
    for (std::int32_t slot : p.slots)
      for (std::size_t i = 0; i < once.rebuilt.layout.bytes() / 4; ++i) {
        float const a = load_scalar(DType::f32, once.rebuilt.pool().keys(slot), i), b = load_scalar(DType::f32, twice.rebuilt.pool().keys(slot), i);
        if (element == Element::fp8)
          ASSERT_NEAR(a, b, 1e-6 * std::abs(a)) << i;
        else
          ASSERT_EQ(a, b) << i;
      }
  }
}

TEST_P(CodedPages, DecodeToEveryType) {
  Problem const p = make_problem({DType::f32, 2, 8, 24}, 2, {{1, {8}}});
  for (DType type : {DType::f32, DType::bf16, DType::f16})
    for (Codec const& codec : {Codec{Element::int8, Kind::identity, 24}, Codec{Element::fp8, Kind::map, 8}, Codec{Element::bf16, Kind::own, 8}}) {
      SCOPED_TRACE(codec.text() + " to " + name_of(type));
      CodedProblem by_reference{p, codec, codec}, coded{p, codec, codec};
      by_reference.rebuilt.layout.dtype = coded.rebuilt.layout.dtype = type;
      by_reference.encode_all(reference::encode_page, reference::decode_page);
      coded.memory = by_reference.memory;
      auto const from = by_reference.pool().base - by_reference.memory.data();
      std::copy(by_reference.memory.begin() + from, by_reference.memory.end() - 64, coded.pool().base);
      GetParam()->decode(coded);
      double const close = type == DType::f32 ? 1e-6 : type == DType::bf16 ? 1.0 / 128 : 1.0 / 1024;   // to either side
      for (std::size_t i = 0; i < p.layout.bytes() / 4; ++i) {
        float const wanted = load_scalar(type, by_reference.rebuilt.pool().keys(p.slots[0]), i);
        ASSERT_NEAR(load_scalar(type, coded.rebuilt.pool().keys(p.slots[0]), i), wanted, close * std::max(1.0f, std::abs(wanted))) << i;
      }
    }
}

// Two rows at once, whose partials alternate.
TEST_P(CodedPages, AHundredPagesOfUnlikeElementsInTheMidstOfOtherGroupsOrAlone) {
  GroupShape const long_one{1, std::vector<std::int32_t>(100, 8)}, chunk{3, std::vector<std::int32_t>(40, 8), 300};
  Problem const alone = make_problem({DType::bf16, 2, 8, 24}, 4, {long_one}), together = make_problem({DType::bf16, 2, 8, 24}, 4, {chunk, long_one});
  for (auto const& [k, v] :
       {std::pair{Codec{Element::int8, Kind::identity, 24}, Codec{Element::int4, Kind::map, 8}},
        std::pair{Codec{Element::int4, Kind::map, 16}, Codec{Element::fp8, Kind::identity, 24}},
        std::pair{Codec{Element::bf16, Kind::map, 8}, Codec{Element::int8, Kind::own, 16}},
        std::pair{Codec{Element::f16, Kind::own, 8}, Codec{Element::f32, Kind::map, 24}}}) {
    SCOPED_TRACE(k.text() + " and " + v.text());
    CodedProblem of_both{together, k, v}, of_one{alone, k, v};
    std::copy(of_one.rebuilt.q.begin(), of_one.rebuilt.q.end(), of_both.rebuilt.q.end() - std::ssize(of_one.rebuilt.q));
    of_both.plain.q = of_both.rebuilt.q;
    of_both.encode_all(host::encode_page, host::decode_page);
    of_one.encode_all(host::encode_page, host::decode_page);
    auto const wanted = quotients(attend_by_reference(of_both.rebuilt), 24);
    Partial const both = GetParam()->attend_coded(of_both, nullptr), one = GetParam()->attend_coded(of_one, nullptr);
    EXPECT_LE(largest_difference(quotients(both, 24), wanted), 6e-4);
    EXPECT_EQ(GetParam()->attend_coded(of_one, nullptr), one);
    EXPECT_TRUE(std::equal(one.sum.rbegin(), one.sum.rend(), both.sum.rbegin()));
    EXPECT_TRUE(std::equal(one.denom.rbegin(), one.denom.rend(), both.denom.rbegin()));
  }
}

TEST_P(CodedPages, WideHeads) {
  for (std::int32_t d : {136, 264}) {
    Problem const p = make_problem({DType::bf16, 1, 8, d}, 1, {{1, {8, 8}}});
    for (Codec const& codec : {Codec{Element::int8, Kind::identity, d}, Codec{Element::bf16, Kind::own, 8}}) {
      SCOPED_TRACE(codec.text() + " of " + std::to_string(d));
      CodedProblem coded{p, codec, codec};
      coded.encode_all(reference::encode_page, reference::decode_page);
      auto const wanted = quotients(attend_by_reference(coded.rebuilt), static_cast<std::size_t>(d));
      Partial const got = GetParam()->attend_coded(coded, nullptr);
      EXPECT_LE(largest_difference(quotients(got, static_cast<std::size_t>(d)), wanted), 6e-4);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, CodedPages, ::testing::ValuesIn(backends()));

}  // namespace
}  // namespace pikv::kernels
