// Calibration of the embedded model, and the maps on keys and queries of a real one (data (c) of methods 3.11).
#include "runtime/calibration/calibrate.hpp"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <Eigen/Core>
#include <fstream>
#include <iterator>
#include <string_view>

#include "comm/inprocess_world.hpp"
#include "runtime/agree.hpp"
#include "runtime/calibration/calibration_file.hpp"
#include "runtime/calibration/codec_choice.hpp"
#include "runtime/calibration/split.hpp"
#include "shards/codecs/auto_choice.hpp"
#include "shards/codecs/maps.hpp"
#include "shards/codecs/maps/lora_plus.hpp"
#include "tests/runtime/calibration/sample_calibration.hpp"
#include "tests/runtime/engine/harness.hpp"
#include "tests/runtime/reference_data.hpp"
#include "tests/runtime/trace/scratch_folder.hpp"
#include "tests/shards/codecs/moments_of.hpp"

namespace pikv::test {
namespace {

using runtime::Calibration;
using runtime::CalibrationData;
using shards::map_error;
using shards::map_of_rank;
using shards::Part;

constexpr std::int32_t window = 64, windows = 10, layers = 4, heads = 2, d = 64;

std::string text() {
  std::ifstream file{embedded_folder() / "held_out.txt", std::ios::binary};
  return std::string{std::istreambuf_iterator<char>{file}, {}}.substr(0, window * windows);
}

CalibrationData calibrated_on(int ranks, std::int32_t tokens_of_a_window = window) {
  runtime::test::ScratchFolder folder;
  runtime::CalibrateOptions options;
  options.cache = options_for(embedded_folder() / "tiny-moe", ranks);
  options.cache.store = runtime::StoreMode::local;
  options.text = folder / "text.txt";
  options.window = tokens_of_a_window;
  options.distill = std::vector{16};
  std::ofstream{options.text, std::ios::binary} << text();
  CalibrationData data;
  comm::run_inprocess({.ranks = ranks}, [&](comm::World& world) {
    CalibrationData mine = runtime::calibrated(world, options, "");
    if (world.rank() == ranks - 1) data = std::move(mine);
  });
  return data;
}

CalibrationData const& calibrated_alone() {
  static CalibrationData const data = calibrated_on(1);
  return data;
}

double distance(std::vector<double> const& a, std::vector<double> const& b) {
  Eigen::VectorXd const x = Eigen::Map<Eigen::VectorXd const>{a.data(), static_cast<Eigen::Index>(a.size())}, y = Eigen::Map<Eigen::VectorXd const>{b.data(), static_cast<Eigen::Index>(b.size())};
  return (x - y).norm() / x.norm();
}

/// Keys of one layer and head, token by token.
class KeyProbe : public runtime::LayerProbe {
 public:
  void attended(std::int32_t layer, runtime::Batch const& batch, float const*, float const* k, float const*, float const*) override {
    if (layer != 2) return;
    std::size_t row = 0;
    for (shards::Segment const& segment : batch.segments)
      for (std::int32_t i = 0; i < segment.rows; ++i, ++row)
        for (std::int64_t index = 0; index < windows; ++index)
          if (segment.stream->id() == runtime::stream_of(index) && !runtime::is_held_out(index) && batch.positions[row] >= runtime::sinks) {
            keys.conservativeResize(keys.rows() + 1, d);
            for (Eigen::Index c = 0; c < d; ++c) keys(keys.rows() - 1, c) = static_cast<double>(k[row * heads * d + d + static_cast<std::size_t>(c)]);
          }
  }
  void ended(shards::StreamId const&) override {}
  Matrix keys{0, d};
};

TEST(Calibrate, MomentsAreThoseOfTheKeysThatPass) {
  std::vector<runtime::Request> requests(windows);
  std::string const of = text();
  for (std::size_t i = 0; i < windows; ++i) {
    requests[i].index = static_cast<std::int64_t>(i);
    requests[i].id = "window";
    requests[i].max_new_tokens = 1;
    for (std::size_t at = i * window; at < (i + 1) * window; ++at) requests[i].prompt.push_back(static_cast<unsigned char>(of[at]));
  }
  KeyProbe probe;
  (void)decode(options_for(embedded_folder() / "tiny-moe", 1), requests, {.probe = [&](comm::World const&, shards::Store const&) { return &probe; }});
  auto const& moments = calibrated_alone().moments[2 * heads + 1];
  ASSERT_EQ(probe.keys.rows(), 8 * (window - 4));
  EXPECT_EQ(moments.tokens, static_cast<double>(probe.keys.rows()));
  EXPECT_LT(distance(list_of(probe.keys.transpose() * probe.keys / probe.keys.rows()), moments.k_second), 1e-5);
  EXPECT_LT(distance(list_of(probe.keys.colwise().mean()), moments.k_mean), 1e-5);
}

TEST(Calibrate, OnAnyNumberOfRanksIsTheSameUpToRounding) {
  CalibrationData const& one = calibrated_alone();
  for (int const ranks : small_form() ? std::vector{3} : std::vector{2, 3}) {
    CalibrationData const more = calibrated_on(ranks);
    EXPECT_EQ(more.facts.tokens, one.facts.tokens);
    EXPECT_EQ(more.facts.held_out_tokens, one.facts.held_out_tokens);
    EXPECT_EQ(more.facts.text, one.facts.text);
    for (std::size_t head = 0; head < layers * heads; ++head) {
      EXPECT_LT(distance(one.moments[head].k_second, more.moments[head].k_second), 1e-5);
      EXPECT_LT(distance(one.moments[head].v_second, more.moments[head].v_second), 1e-5);
      EXPECT_LT(distance(one.moments[head].q_second, more.moments[head].q_second), 1e-5);
      EXPECT_EQ(one.moments[head].o_gram, more.moments[head].o_gram);
      for (std::size_t part = 0; part < 2; ++part) {
        for (auto const& [name, family] : one.families) {
          if (name == "prune") continue;   // channels that weigh the same may change places
          EXPECT_LT(distance(family.held_out[part][head].weighted, more.families.find(name)->second.held_out[part][head].weighted), 1e-3) << name;
          EXPECT_LT(distance(one.coded.find(name)->second[1][part][head].weighted, more.coded.find(name)->second[1][part][head].weighted), 1e-2) << name;
        }
        for (std::size_t i = 0; i < one.mixed.size(); ++i) EXPECT_LT(distance(one.mixed[i][part][head].weighted, more.mixed[i][part][head].weighted), 5e-2) << i;
        double const loss = one.fitted.find("distill")->second.at(16).loss[part][head][1];
        EXPECT_NEAR(more.fitted.find("distill")->second.at(16).loss[part][head][1], loss, .02 * loss);
      }
    }
  }
}

double lost(runtime::ByHead<runtime::HeldOut> const& errors, std::size_t part) {
  double sum = 0;
  for (runtime::HeldOut const& of_head : errors[part]) sum += of_head.weighted.front();
  return sum;
}

TEST(Calibrate, WindowsThatAreNoMultipleOfAPageAreMeasuredAsOthersAre) {
  for (std::int32_t const tokens : {24, 40, 63}) {
    CalibrationData const data = calibrated_on(1, tokens);
    for (std::size_t part = 0; part < 2; ++part) {
      double const mixed = lost(data.mixed[4], part), int3 = lost(data.coded.find(runtime::no_map)->second[2], part);
      EXPECT_GT(mixed, .05 * int3) << tokens;   // of 4 bits and of 3
      EXPECT_LT(mixed, int3) << tokens;
    }
  }
}

TEST(Calibrate, MoreMixedBitsLoseLessAndOrderAndFeedbackPay) {
  CalibrationData const& data = calibrated_alone();
  for (std::size_t part = 0; part < 2; ++part)
    for (std::size_t i = 1; i < data.mixed.size(); ++i) EXPECT_LT(lost(data.mixed[i], part), lost(data.mixed[i - 1], part)) << part << ' ' << i;
  runtime::CodedErrors const& plain = data.coded.find(runtime::no_map)->second;
  EXPECT_LT(lost(data.mixed[2], 0), .8 * lost(plain[2], 0));   // of keys, both 3 bits
}

TEST(Calibrate, LoraPlusLosesLeastOfLogitsAndOutputsOfWhatItHasSeen) {
  CalibrationData const& data = calibrated_alone();
  for (Part const part : {Part::keys, Part::values})
    for (std::size_t head = 0; head < layers * heads; ++head) {
      shards::HeadMoments const& moments = data.moments[head];
      shards::FullMap const best = shards::lora_plus_map(moments, part, 0);
      for (auto const& [name, family] : data.families)
        for (std::int32_t const rank : {8, 16, 32}) {
          double const least = map_error(map_of_rank(best, rank), moments, part).weighted;
          EXPECT_LE(least, (1 + 1e-4) * map_error(map_of_rank(family.maps[static_cast<std::size_t>(part)][head], rank), moments, part).weighted) << name << " " << rank;
        }
    }
}

TEST(Calibrate, HeldOutErrorsFallWithTheRankToNothing) {
  Calibration const calibration{calibrated_alone()};
  for (Part const part : {Part::keys, Part::values})
    for (std::string_view const name : {"lora", "svd"}) {
      for (std::int32_t rank = 16; rank <= d; rank += 8)
        EXPECT_LE(calibration.held_out(name, part, 1, 0, rank).squared, calibration.held_out(name, part, 1, 0, rank - 8).squared * (1 + 1e-9));
      EXPECT_LT(calibration.held_out(name, part, 1, 0, d).squared, 1e-8 * calibration.held_out_size(part, 1, 0).squared);
    }
}

TEST(Calibrate, DistilledMapsLoseNoMoreOfHeldOutAttentionThanTheirStart) {
  for (auto const& of_part : calibrated_alone().fitted.find("distill")->second.at(16).loss)
    for (auto const& loss : of_part) EXPECT_LE(loss[1], loss[0]);
}

TEST(Calibrate, MoreBitsAndHigherRanksLoseLess) {
  Calibration const calibration{calibrated_alone()};
  using kernels::Element;
  for (Part const part : {Part::keys, Part::values}) {
    auto const error = [&](char const* name, std::int32_t rank, Element element) { return calibration.held_out(name, part, 3, 1, rank, element).weighted; };
    EXPECT_LT(error("none", d, Element::int8), .02 * error("none", d, Element::int4));   // 17^2
    EXPECT_LT(error("svd", 32, Element::bf16), error("svd", 32, Element::int8));
    EXPECT_LT(error("svd", 32, Element::int8), error("svd", 32, Element::int4));
    EXPECT_LT(3 * error("none", d, Element::int4), error("none", d, Element::int3));   // (15 / 7)^2
    EXPECT_LT(error("lora_plus", 48, Element::int8), error("lora_plus", 16, Element::int8));
  }
}

/// What a token takes and loses, stored alike everywhere.
shards::Candidate uniform(Calibration const& calibration, std::string_view name, std::int32_t rank, kernels::Element element) {
  shards::Candidate sum;
  for (Part const part : {Part::keys, Part::values})
    for (std::int32_t layer = 0; layer < layers; ++layer)
      for (std::int32_t head = 0; head < heads; ++head) {
        sum.bytes += runtime::part_bytes(part, {std::string{name}, rank, element, 0}, 32);
        sum.error += runtime::output_error(calibration, part, layer, head, calibration.held_out(name, part, layer, head, rank, element));
      }
  return sum;
}

TEST(Calibrate, AChoiceForAllLosesLessThanAnyCodecThatIsTheSameEverywhere) {
  Calibration const calibration{calibrated_alone()};
  using kernels::Element;
  auto const bytes_of = [](Part part, runtime::PartChoice const& choice) { return runtime::part_bytes(part, choice, 32); };
  int compared = 0;
  for (std::string_view const name : {"svd", "lora_plus", "none"})
    for (std::int32_t const rank : {16, 32, 48, 64})
      for (Element const element : {Element::int8, Element::int4}) {
        if (name == runtime::no_map && rank != d) continue;
        auto const same = uniform(calibration, name, rank, element);
        auto const chosen = runtime::choose_codec(calibration, same.bytes, bytes_of);
        EXPECT_LE(chosen.bytes, same.bytes);
        // Before maps of keys, whose held-out errors promise too much, comes what fits without one.
        auto const& keys = chosen.parts.front();
        bool const makes_do = std::ranges::all_of(keys, [](auto const& key) { return key.map == runtime::no_map && (key.element == Element::int3 || key.element == Element::mixed); });
        if (makes_do && name != runtime::no_map) continue;
        ++compared;
        EXPECT_LE(chosen.error, same.error * 1.05) << name << " " << rank;   // the last bytes may not pay for another step
      }
  EXPECT_GE(compared, 10);
}

TEST(Calibrate, PooledRanksLoseLessThanTheSameRankEverywhere) {
  Calibration const calibration{calibrated_alone()};
  for (std::int32_t const mean : {16, 32, 48}) {
    auto const ranks = runtime::pooled_ranks(calibration, mean);
    double error = 0;
    std::int32_t sum = 0;
    for (Part const part : {Part::keys, Part::values})
      for (std::int32_t layer = 0; layer < layers; ++layer)
        for (std::int32_t head = 0; head < heads; ++head) {
          std::int32_t const rank = ranks[static_cast<std::size_t>(part)][static_cast<std::size_t>(layer * heads + head)];
          sum += rank;
          error += runtime::output_error(calibration, part, layer, head, calibration.held_out("lora_plus", part, layer, head, rank));
        }
    EXPECT_LE(sum, mean * 2 * layers * heads);
    EXPECT_LT(error, uniform(calibration, "lora_plus", mean, kernels::Element::bf16).error);
  }
}

/// What three ranks that read `data` from a file end with.
std::string read_on_three_ranks(CalibrationData data) {
  runtime::test::ScratchFolder folder;
  std::string const path = folder / "c.h5";
  runtime::write_calibration(path, data, "");
  int read = 0;
  try {
    comm::run_inprocess({.ranks = 3}, [&](comm::World& world) {
      auto const model = runtime::Model::load(embedded_folder() / "tiny-moe", world.rank(), world.size());
      Calibration const calibration = runtime::read_calibration(world, 30, path, "--calibration=c.h5", model);
      read += calibration.map("svd", Part::keys, 3, 1).encode == data.families.find("svd")->second.maps[0][7].encode ? 1 : 0;
    });
  } catch (runtime::AgreedError const& error) {
    return fmt::format("{}: {}", error.code, error.what());
  }
  return fmt::format("{} read it", read);
}

TEST(ReadCalibration, IsReadByEveryRank) { EXPECT_EQ(read_on_three_ranks(calibrated_alone()), "3 read it"); }

TEST(ReadCalibration, OfAnotherModelIsRefusedByAllInOneSentence) {
  CalibrationData other = calibrated_alone();
  other.facts.fingerprint.lo ^= 1;
  std::string const said = read_on_three_ranks(other);
  EXPECT_EQ(said.find("2: --calibration=c.h5 is the calibration of another model: the same shape, other weights"), 0u) << said;
  EXPECT_EQ(read_on_three_ranks(sample_calibration()),
            "2: --calibration=c.h5 is the calibration of another model: it is a LlamaForCausalLM, this is a MixtralForCausalLM; make one of this model with `pikv calibrate`");
}

/// Keys and queries of SmolLM2-135M, one KV head.
struct Captured {
  Matrix k, q;
};
Captured captured(ReferenceData const& data, std::string const& layer, std::size_t head) {
  auto const matrix = [&](std::string const& name, std::size_t first, std::size_t count) {
    auto const all = data.floats(layer + name);
    std::size_t const each = static_cast<std::size_t>(data.shape(layer + name)[1]) * d;
    Matrix rows(static_cast<Eigen::Index>(count * each / d), d);
    for (std::size_t i = 0; i < count * each; ++i) rows.data()[i] = static_cast<double>(all[first * each + i]);
    return rows;
  };
  return {matrix(".k", head, 1), matrix(".q", 3 * head, 3)};
}

TEST(CapturedKeys, NoMapLosesLessOfLogitsThanLoraPlus) {
  ReferenceData const data{data_folder() / "kvpress/reduced.safetensors"};
  for (char const* const layer : {"t64.l0", "t64.l15", "t64.l29", "t509.l15"}) {
    if (small_form() && layer[1] == '5') continue;
    for (std::size_t head = 0; head < 3; ++head) {
      auto const [k, q] = captured(data, layer, head);
      shards::HeadMoments const moments = moments_of(k, k, q, Matrix::Identity(d, d));
      auto const lost = [&](shards::FullMap const& map, std::int32_t rank) {   // all pairs, not by moments
        return (q * (k - kept_by(map_of_rank(map, rank), k)).transpose()).squaredNorm() / static_cast<double>(q.rows() * k.rows());
      };
      for (std::int32_t const rank : {8, 16, 32}) {
        double const least = lost(shards::lora_plus_map(moments, Part::keys, 0), rank);
        double const with_ridge = lost(shards::lora_plus_map(moments, Part::keys), rank);
        for (char const* const name : {"svd", "prune", "lora"}) {
          double const other = lost(shards::map_families().at(name).from_moments(moments, Part::keys), rank);
          EXPECT_LE(least, 1.001 * other) << layer << " " << name << " " << rank;
          EXPECT_LE(with_ridge, other) << layer << " " << name << " " << rank;
        }
      }
    }
  }
}

}  // namespace
}  // namespace pikv::test
