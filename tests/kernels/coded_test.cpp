#include "kernels/coded.hpp"

#include <gtest/gtest.h>
#include <omp.h>

#include "coded_checks.hpp"
#include "targets.hpp"

namespace pikv::kernels {
namespace {

class CodedTest : public ::testing::TestWithParam<CodedCase> {};

TEST_P(CodedTest, AttentionIsThatOnRebuiltPages) {
  auto const plain = problem_of(GetParam());
  std::size_t const d = plain.layout.head_dim;
  for (Codec const& codec : codecs_of(GetParam())) {
    SCOPED_TRACE(codec.text());
    CodedProblem p{plain, codec, codec};
    p.encode_all(reference::encode_page, reference::decode_page);
    std::vector<float> wanted_lse, lse, host_lse;
    Partial const wanted = attend_by_reference(p.rebuilt, &wanted_lse), out = p.attend(reference::attend_coded, &lse);
    EXPECT_LE(largest_difference(quotients(out, d), quotients(wanted, d)), 1e-5);
    EXPECT_LE(largest_difference(out.max, wanted.max), 1e-5);
    EXPECT_LE(largest_difference(lse, wanted_lse), 1e-5);
    double const close = attention_tolerance(codec.element, true);
    on_each_target([&] {
      Partial const got = attend_coded_on_host(p, &host_lse);
      EXPECT_LE(largest_difference(quotients(got, d), quotients(wanted, d)), close);
      EXPECT_LE(largest_difference(got.max, wanted.max), close);
      EXPECT_LE(largest_difference(got.denom, wanted.denom), 1e-3);
      EXPECT_LE(largest_difference(host_lse, wanted_lse), close);
    });
  }
}

TEST_P(CodedTest, ThePageNamesItsLargestErrors) {
  auto const plain = problem_of(GetParam(), 1);
  for (Codec const& codec : codecs_of(GetParam())) {
    SCOPED_TRACE(codec.text());
    CodedProblem p{plain, codec, codec};
    for (bool on_host : {false, true}) {
      if (on_host)
        p.encode_all(host::encode_page, host::decode_page);
      else
        p.encode_all(reference::encode_page, reference::decode_page);
      for (std::int32_t slot : p.plain.slots) {
        CodedErrors const errors = coded_errors(p.layout, p.pool().page(slot));
        for (std::int32_t head = 0; head < p.layout.kv_heads; ++head)
          for (Part part : {Part::keys, Part::values}) {
            double most = 0;
            for (std::int32_t t = 0; t < p.layout.page_tokens; ++t)
              most = std::max(most, distance(p.plain.pool(), p.rebuilt.pool(), slot, part, head, t));
            float const named = (part == Part::keys ? errors.k : errors.v)[head];
            EXPECT_GE(named, most);
            EXPECT_LE(named, 1.001 * most + rounding_allowed(GetParam().d));
          }
      }
    }
  }
}

TEST_P(CodedTest, HostEncodesWhatTheReferenceDoes) {
  auto const plain = problem_of(GetParam(), 1);
  for (Codec const& codec : codecs_of(GetParam())) {
    SCOPED_TRACE(codec.text());
    CodedProblem p{plain, codec, codec}, on_host{plain, codec, codec};
    p.encode_all(reference::encode_page, reference::decode_page);
    on_each_target([&] {
      on_host.encode_all(host::encode_page, host::decode_page);
      for (std::int32_t slot : plain.slots)
        for (std::int32_t head = 0; head < p.layout.kv_heads; ++head)
          for (Part part : {Part::keys, Part::values}) {
            CodedErrors const errors = coded_errors(p.layout, p.pool().page(slot));
            double const close = 2e-2 * (part == Part::keys ? errors.k : errors.v)[head] + 1e-5;   // a code on the edge may fall to either side
            double most = 0;
            for (std::int32_t t = 0; t < p.layout.page_tokens; ++t)
              most = std::max(most, distance(on_host.rebuilt.pool(), p.rebuilt.pool(), slot, part, head, t));
            if (codec.kind == Kind::identity) {
              EXPECT_LE(most, 1e-6);
            } else {
              EXPECT_LE(most, 30 * close);
            }
          }
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CodedTest,
                         ::testing::Values(CodedCase{DType::bf16, 64, 1, 1, 16}, CodedCase{DType::bf16, 64, 1, 4, 32}, CodedCase{DType::f32, 64, 8, 1, 16},
                                           CodedCase{DType::bf16, 128, 1, 4, 16}, CodedCase{DType::f16, 128, 1, 1, 32}, CodedCase{DType::f32, 10, 2, 3, 8},
                                           CodedCase{DType::bf16, 80, 2, 2, 64}, CodedCase{DType::bf16, 96, 1, 2, 64}));

TEST(Coded, TheStoredPairHoldsBothEndsAndNoSmallerStepDoes) {
  auto const ends = random_floats(2000, 5, 3);
  for (std::int32_t top : {15, 255})
    for (std::size_t i = 0; i < ends.size(); i += 2) {
      float const scale = std::exp2(static_cast<float>(static_cast<int>(i % 40) - 20) / 3), lo = std::min(ends[i], ends[i + 1]) * scale,
                  hi = std::max(ends[i], ends[i + 1]) * scale;
      LoStep const pair = lo_step(lo, hi, top);
      float const stored = from_f16(pair.lo), step = from_f16(pair.step);
      ASSERT_LE(stored, lo);
      ASSERT_GE(std::fma(step, static_cast<float>(top), stored), hi);
      ASSERT_LT(std::fma(from_f16(static_cast<std::uint16_t>(pair.step - 1)), static_cast<float>(top), stored), hi);
      ASSERT_GT(from_f16(to_f16(stored + (lo - stored) * 1.001f)) + std::abs(lo) * 1e-3f, lo) << "lo is the nearest below";
    }
}

TEST(Coded, E4m3IsNearestTiesToEvenAndSaturates) {
  for (int code = 0; code < 255; ++code)
    if (code != 127) {
      EXPECT_EQ(to_e4m3(from_e4m3(static_cast<std::uint8_t>(code))), code);
    }
  EXPECT_EQ(from_e4m3(0x7E), 448);
  EXPECT_EQ(from_e4m3(0x01), 0x1p-9f);
  EXPECT_EQ(from_e4m3(0x38), 1);
  EXPECT_EQ(to_e4m3(1e9f), 0x7E);
  EXPECT_EQ(to_e4m3(-460), 0xFE);
  for (int code = 0; code < 0x7E; ++code) {
    float const a = from_e4m3(static_cast<std::uint8_t>(code)), b = from_e4m3(static_cast<std::uint8_t>(code + 1)), middle = (a + b) / 2;
    EXPECT_EQ(to_e4m3(middle), code + code % 2);
    EXPECT_EQ(to_e4m3(std::nextafter(middle, b)), code + 1);
    EXPECT_EQ(to_e4m3(std::nextafter(middle, a)), code);
  }
}

// methods 3.0: q.mean cancels in a softmax only if every token in it has the same basis.
TEST(Coded, ExactAndMappedTokensMixOnlyWithTheMeansShareOfTheLogit) {
  Problem p = make_problem({DType::f32, 1, 16, 64}, 4, {{1, {16, 16}}});
  CodedProblem coded{p, {Element::f32, Kind::map, 32}, {Element::f32, Kind::map, 32}};
  coded.encode_all(reference::encode_page, reference::decode_page);
  Problem exact = p;   // the first page as it is, the second as it is rebuilt
  exact.layout.dtype = DType::f32;
  std::copy_n(coded.rebuilt.pool().keys(p.slots[1]), p.layout.bytes(), exact.pool().keys(p.slots[1]));
  auto const wanted = quotients(attend_by_reference(exact), 64);

  Problem first = p;
  first.page_offsets = {0, 1};
  for (bool with_mean : {true, false}) {
    Partial merged = attend_by_reference(first);
    coded.rebuilt.tokens[0] = 0;
    Partial mapped = attend_coded_on_host(coded);
    if (!with_mean)
      for (std::size_t head = 0; head < 4; ++head)
        for (std::size_t i = 0; i < 64; ++i) mapped.max[head] -= p.scale * p.q[head * 64 + i] * coded.maps[0].mean[i];
    Stream stream;
    host::merge(merged.view(), mapped.view(), 1, 4, 64, stream);
    double const off = largest_difference(quotients(merged, 64), wanted);
    if (with_mean)
      EXPECT_LE(off, 1e-5);
    else
      EXPECT_GE(off, 1e-3);
  }
}

TEST(Coded, ResultDoesNotDependOnThreads) {
  Problem const p = make_problem({DType::bf16, 2, 16, 64}, 8, {{1, std::vector<std::int32_t>(300, 16)}, {3, {16, 16}}});
  for (Element element : elements) {
    Codec const codec{element, Kind::identity, 64};
    CodedProblem coded{p, codec, codec};
    coded.encode_all(host::encode_page, host::decode_page);
    omp_set_num_threads(1);
    Partial const one = attend_coded_on_host(coded);
    omp_set_num_threads(2);
    EXPECT_EQ(attend_coded_on_host(coded), one) << name_of(element);
  }
}

TEST(Coded, AThousandTokensOfUnlikeElementsForKeysAndValues) {
  for (std::int32_t rank : {16, 32}) {
    Problem const p = make_problem({DType::bf16, 2, 32, 64}, 8, {{1, std::vector<std::int32_t>(32, 32)}}, 3);
    for (Codec const& k : {Codec{Element::int8, Kind::identity, 64}, Codec{Element::bf16, Kind::map, rank}, Codec{Element::int4, Kind::map, rank}})
      for (Codec const& v :
           {Codec{Element::int4, Kind::identity, 64}, Codec{Element::int8, Kind::map, rank}, Codec{Element::bf16, Kind::map, rank}}) {
        SCOPED_TRACE(k.text() + " and " + v.text());
        CodedProblem coded{p, k, v};
        coded.rebuilt.tokens.back() = 8;   // 1000
        coded.encode_all(host::encode_page, host::decode_page);
        auto const wanted = quotients(attend_by_reference(coded.rebuilt), 64);
        on_each_target([&] { EXPECT_LE(largest_difference(quotients(attend_coded_on_host(coded), 64), wanted), 3e-4); });   // 16 bits, logits of 10
      }
  }
}

TEST(CodedShapeTest, BytesAreTheCodesTheScalesAndLittleElse) {
  PageLayout const page{DType::bf16, 8, 32, 128};
  std::vector<std::vector<std::uint8_t>> const half(8, {4, 4, 4, 4, 3, 3, 3, 3, 4, 4, 4, 4, 3, 3, 3, 3});
  auto const bytes = [&](Element element) {
    return static_cast<double>(CodedShape{page, {element, {}, 0, half}, {element, {}, 0, half}}.layout().bytes);
  };
  EXPECT_EQ(bytes(Element::bf16), static_cast<double>(page.bytes()) + 64);
  EXPECT_LE(bytes(Element::int8), static_cast<double>(page.bytes()) * 1.02 * 9 / 16);   // methods 3.9: bits + 32 / group
  EXPECT_LE(bytes(Element::int4), static_cast<double>(page.bytes()) * 1.02 * 5 / 16);
  EXPECT_LE(bytes(Element::int3), static_cast<double>(page.bytes()) * 1.02 * 4 / 16);
  EXPECT_LE(bytes(Element::int2), static_cast<double>(page.bytes()) * 1.02 * 3 / 16);
  EXPECT_LE(bytes(Element::mixed), static_cast<double>(page.bytes()) * 1.02 * (3.5 + 16.0 / 32) / 16);
  EXPECT_LE(bytes(Element::fp8), static_cast<double>(page.bytes()) * 1.02 / 2);
}

}  // namespace
}  // namespace pikv::kernels
