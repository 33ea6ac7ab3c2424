#include "runtime/calibration/codec_choice.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include "tests/runtime/calibration/sample_calibration.hpp"

namespace pikv::test {
namespace {

using kernels::Element;
using runtime::Calibration;
using runtime::CodecChoice;
using runtime::PartChoice;
using shards::Part;

double bytes_of(Part part, PartChoice const& choice) { return runtime::part_bytes(part, choice, 32); }

double error_of(Calibration const& calibration, Part part, std::int32_t layer, std::int32_t head, PartChoice const& choice) {
  return runtime::output_error(calibration, part, layer, head, held_out(calibration, part, layer, head, choice));
}

/// Every way to store the two heads of one layer's part with one element.
struct Way {
  double bytes, error;
};
std::vector<Way> ways(Calibration const& calibration, Part part, std::int32_t layer) {
  std::vector<Way> all;
  for (Element const element : {Element::bf16, Element::int8, Element::int4, Element::int3}) {
    std::vector<PartChoice> const choices{{"none", 16, element, 0}, {"svd", 8, element, 0}, {"lora_plus", 8, element, 0}, {"svd", 16, element, 0}, {"lora_plus", 16, element, 0}};
    for (PartChoice const& first : choices)
      for (PartChoice const& second : choices)
        all.push_back({bytes_of(part, first) + bytes_of(part, second),
                       error_of(calibration, part, layer, 0, first) + error_of(calibration, part, layer, 1, second)});
  }
  for (double const mean : runtime::mixed_means) {
    PartChoice const mixed{part == Part::keys ? "none" : "rotate", 16, Element::mixed, mean};
    all.push_back({2 * bytes_of(part, mixed), error_of(calibration, part, layer, 0, mixed) + error_of(calibration, part, layer, 1, mixed)});
  }
  return all;
}

/// Every pair of two ways, without those that another beats.
std::vector<Way> both(std::vector<Way> const& first, std::vector<Way> const& second) {
  std::map<double, double> least;   // error, by bytes
  for (Way const& a : first)
    for (Way const& b : second) {
      auto const [at, is_new] = least.try_emplace(a.bytes + b.bytes, a.error + b.error);
      at->second = std::min(at->second, a.error + b.error);
    }
  std::vector<Way> all;
  for (auto const& [bytes, error] : least) all.push_back({bytes, error});
  return all;
}

struct CodecChoiceTest : ::testing::Test {
  Calibration calibration{sample_calibration()};
  static constexpr double whole = 2 * 2 * 2 * 16 * 2;   // parts, layers, heads, numbers, bytes
};

TEST_F(CodecChoiceTest, IsNearlyTheBestOfAllThereAre) {
  std::array<std::vector<Way>, 4> const all{ways(calibration, Part::keys, 0), ways(calibration, Part::keys, 1), ways(calibration, Part::values, 0), ways(calibration, Part::values, 1)};
  for (double const share : {.21, .25, .4, .6, .8}) {
    double least = INFINITY, most_of_one = 0;
    auto const keys = both(all[0], all[1]), values = both(all[2], all[3]);
    for (Way const& a : keys)
      for (Way const& b : values)
        if (a.bytes + b.bytes <= share * whole) least = std::min(least, a.error + b.error);
    for (auto const& of_one : all)
      for (Way const& way : of_one) most_of_one = std::max(most_of_one, way.error);
    CodecChoice const choice = runtime::choose_codec(calibration, share * whole, bytes_of);
    EXPECT_LE(choice.bytes, share * whole);
    EXPECT_GE(choice.error, least - 1e-12);
    EXPECT_LE(choice.error, least + most_of_one);
  }
}

TEST_F(CodecChoiceTest, AmountsToWhatItSays) {
  CodecChoice const choice = runtime::choose_codec(calibration, .3 * whole, bytes_of);
  double bytes = 0, error = 0;
  for (Part const part : {Part::keys, Part::values})
    for (std::int32_t layer = 0; layer < 2; ++layer)
      for (std::int32_t head = 0; head < 2; ++head) {
        PartChoice const& of = choice.parts[static_cast<std::size_t>(part)][static_cast<std::size_t>(layer * 2 + head)];
        bytes += bytes_of(part, of);
        error += error_of(calibration, part, layer, head, of);
      }
  EXPECT_NEAR(choice.bytes, bytes, 1e-9);
  EXPECT_NEAR(choice.error, error, 1e-9);
}

TEST_F(CodecChoiceTest, HeadsOfALayerShareTheElement) {
  for (double const share : {.2, .3, .5, .7}) {
    CodecChoice const choice = runtime::choose_codec(calibration, share * whole, bytes_of);
    for (auto const& heads : choice.parts)
      for (std::size_t layer = 0; layer < 2; ++layer) EXPECT_EQ(heads[2 * layer].element, heads[2 * layer + 1].element);
  }
}

TEST_F(CodecChoiceTest, KeepsEverythingWhereItFits) {
  CodecChoice const choice = runtime::choose_codec(calibration, whole, bytes_of);
  EXPECT_NEAR(choice.error, 0, 1e-9);
  for (auto const& heads : choice.parts)
    for (PartChoice const& of : heads) EXPECT_EQ(of.map, "none");
}

TEST_F(CodecChoiceTest, LosesLessWithMoreBytes) {
  double before = INFINITY;
  for (double share = .15; share <= 1.01; share += .05) {
    double const error = runtime::choose_codec(calibration, share * whole, bytes_of).error;
    EXPECT_LE(error, before + 1e-12);
    before = error;
  }
}

TEST_F(CodecChoiceTest, PooledRanksGoWhereOutputsNeedThem) {
  auto data = sample_calibration();
  for (double& value : data.families["lora_plus"].maps[0][1].spectrum) value *= 1e6;   // keys of layer 0, head 1
  auto const ranks = runtime::pooled_ranks(Calibration{data}, 9);
  EXPECT_EQ(ranks[0][1], 16);
  double sum = 0;
  for (auto const& part : ranks) sum = std::accumulate(part.begin(), part.end(), sum);
  EXPECT_LE(sum, 9 * 8);
}

TEST(PartChoice, IsNamedAsAUserWould) {
  EXPECT_EQ(runtime::text_of({"none", 64, Element::int4, 0}), "int4");
  EXPECT_EQ(runtime::text_of({"svd", 32, Element::bf16, 0}), "svd:32+bf16");
  EXPECT_EQ(runtime::text_of({"rotate", 64, Element::mixed, 2.5}), "rotate+mixed:2.5");
}

TEST(PartBytes, AreCodesAndTheirScales) {
  EXPECT_EQ(runtime::part_bytes(Part::keys, {"none", 64, Element::bf16, 0}, 32), 128);
  EXPECT_EQ(runtime::part_bytes(Part::keys, {"none", 64, Element::int8, 0}, 32), 64 + 8);
  EXPECT_EQ(runtime::part_bytes(Part::keys, {"none", 64, Element::int4, 0}, 16), 32 + 16);
  EXPECT_EQ(runtime::part_bytes(Part::values, {"none", 64, Element::int4, 0}, 32), 32 + 8);
  EXPECT_EQ(runtime::part_bytes(Part::values, {"none", 40, Element::int8, 0}, 32), 40 + 8);
  EXPECT_EQ(runtime::part_bytes(Part::keys, {"none", 64, Element::mixed, 3.5}, 16), 28 + 8);
  EXPECT_EQ(runtime::part_bytes(Part::values, {"rotate", 64, Element::mixed, 2.5}, 32), 20 + 4);
  EXPECT_EQ(runtime::part_bytes(Part::keys, {"none", 64, Element::int3, 0}, 32), 24 + 8);
}

/// What independent errors of tokens do to outputs, against attention itself.
TEST(OutputError, WeighsErrorsOfKeysAndValuesAsAttentionDoes) {
  constexpr Eigen::Index tokens = 400, d = 16;
  Matrix const k = gaussian(tokens, d, 1), v = gaussian(tokens, d, 2), q = gaussian(200, d, 3), w = gaussian(d, 2 * d, 4);
  runtime::CalibrationData data = sample_calibration();
  data.facts.layers = data.facts.kv_heads = 1;
  data.moments = {moments_of(k, v, q, w)};
  Calibration const calibration{data};
  Matrix const wrong_k = .05 * gaussian(tokens, d, 5), wrong_v = .05 * gaussian(tokens, d, 6);
  auto const outputs = [&](Matrix const& keys, Matrix const& values) {
    Matrix p = (q * keys.transpose() / 4).array().exp();
    p.array().colwise() /= p.rowwise().sum().array().eval();
    return Matrix{p * values * w};
  };
  Matrix const exact = outputs(k, v);
  double const of_keys = (outputs(k + wrong_k, v) - exact).squaredNorm(), of_values = (outputs(k, v + wrong_v) - exact).squaredNorm();
  shards::MapError const keys{0, (q * wrong_k.transpose()).squaredNorm() / (200. * tokens)}, values{0, (wrong_v * w).squaredNorm() / tokens};
  double const ratio = runtime::output_error(calibration, Part::keys, 0, 0, keys) / runtime::output_error(calibration, Part::values, 0, 0, values);
  EXPECT_NEAR(of_keys / of_values / ratio, 1, .3);
}

}  // namespace
}  // namespace pikv::test
