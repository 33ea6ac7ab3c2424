// Scores and kept tokens of our schedulers, with pages of one token, against kvpress' on a real model (tests/data/kvpress).

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "runtime/scheduling/adakv.hpp"
#include "runtime/scheduling/chunk_select.hpp"
#include "runtime/scheduling/h2o.hpp"
#include "runtime/scheduling/pyramid.hpp"
#include "runtime/scheduling/snapkv.hpp"
#include "runtime/scheduling/streaming.hpp"
#include "runtime/scheduling/tova.hpp"
#include "tests/runtime/scheduling/real_attention.hpp"

namespace pikv::test {
namespace {

using Json = nlohmann::json;
constexpr std::int32_t kv_heads = RealAttention::kv_heads;
constexpr double tolerance = 1e-5;

ReferenceData const& data() {
  static ReferenceData const data{data_folder() / "kvpress" / "reduced.safetensors"};
  return data;
}

std::vector<Json> const& cases() {
  static std::vector<Json> const cases = Json::parse(std::ifstream{data_folder() / "kvpress" / "cases.json"});
  return cases;
}

RealAttention const& attention(std::string const& stem) {
  static std::map<std::string, RealAttention> made;
  return made.try_emplace(stem, data(), stem).first->second;
}

struct Policy {
  bool by_head;
  std::function<std::unique_ptr<Scheduler>(LayerShape const&)> make;
};

Policy policy_of(Json const& c) {
  auto const name = c.at("case").get<std::string>();
  if (name == "streaming_llm") return {false, [](LayerShape const& shape) { return make_streaming({.shape = shape, .summaries = {}}); }};
  if (name == "tova") return {false, [](LayerShape const& shape) { return make_tova({.shape = shape, .summaries = {}}); }};
  if (name == "observed_attention")   // not H2O: no recent tokens, and sums divided by the queries that could see the token
    return {true, [](LayerShape const& shape) { return make_h2o({.shape = shape, .summaries = {}}, {.recent = 0, .normalise = true}); }};
  SnapKvOptions const options{.window = c.at("window"), .pool = 5};
  if (name == "pyramidkv") return {true, [options](LayerShape const& shape) { return make_pyramid({.shape = shape, .summaries = {}}, {.base = options}); }};
  if (c.contains("chunk"))
    return {false, [options, chunk = c.at("chunk").get<std::int32_t>(), keep = 1 - c.at("ratio_removed").get<double>()](LayerShape const& shape) {
              return make_chunk_select({.shape = shape, .summaries = {}, .keep = keep}, {.base = options, .chunk_pages = chunk});
            }};
  if (name == "adakv_snapkv")
    return {true, [options](LayerShape const& shape) { return make_adakv({.shape = shape, .summaries = {}}, {.base = options}); }};
  return {true, [options](LayerShape const& shape) { return make_snapkv({.shape = shape, .summaries = {}}, options); }};
}

class Kvpress : public ::testing::TestWithParam<std::size_t> {
 protected:
  Json const& c = cases()[GetParam()];
  std::string const name = c.at("case");
  std::int32_t const tokens = c.at("tokens");
  Policy const policy = policy_of(c);
  LayerShape shape;
  std::unique_ptr<Scheduler> scheduler;
  Budget budget;

  /// Those before the window, where kvpress' scores are sentinels: sums over KV heads there, means here.
  void compare_chunks() {
    auto const theirs = data().floats(c.at("chunk_scores"));
    auto const u = utilities(*scheduler, blocks(tokens), budget);
    auto const chunk = c.at("chunk").get<std::int32_t>(), before = (tokens - c.at("window").get<std::int32_t>()) / chunk;
    ASSERT_GT(before, 0);
    for (std::int32_t i = 0; i < before; ++i)
      for (std::int32_t token = i * chunk; token < (i + 1) * chunk; ++token)
        EXPECT_NEAR(u[static_cast<std::size_t>(token)] * kv_heads, theirs[static_cast<std::size_t>(i)], tolerance * theirs[static_cast<std::size_t>(i)]);
  }

  void SetUp() override {
    auto const& real = attention(c.at("prompt").get<std::string>() + ".l" + std::to_string(c.at("layer").get<int>()));
    shape = real.shape(policy.by_head, 1);
    scheduler = policy.make(shape);
    real.play(*scheduler, shape);
    std::int64_t total = 0;
    for (auto const& n : c.at("n_kept")) total += n.get<std::int64_t>();
    ASSERT_EQ(total % kv_heads, 0);
    budget = {.length = tokens, .tokens = total / kv_heads};
    if (c.contains("chunk")) budget.tokens = scheduler->layer_tokens(budget, 0);   // counts chunks by itself
  }
};

TEST_P(Kvpress, KeepsTheSameTokens) {
  ASSERT_FALSE(c.at("ambiguous").get<bool>());
  auto const ours = kept(*scheduler, Tables(static_cast<std::size_t>(shape.tables), hold(blocks(tokens))), budget);
  auto const theirs = data().ints(c.at("kept"));
  auto const most = static_cast<std::size_t>(data().shape(c.at("kept"))[1]);
  for (std::size_t head = 0; head < kv_heads; ++head) {
    auto const begin = theirs.begin() + static_cast<std::ptrdiff_t>(head * most);
    std::vector<Block> const expected(begin, begin + c.at("n_kept")[head].get<std::ptrdiff_t>());
    EXPECT_EQ(ours[policy.by_head ? head : 0], expected) << "KV head " << head;
  }
}

TEST_P(Kvpress, GivesTheSameScores) {
  if (c.contains("chunk")) return compare_chunks();
  auto const theirs = data().floats(c.at("scores"));
  for (std::int32_t head = 0; head < kv_heads; ++head) {
    std::vector<float> score(theirs.begin() + head * tokens, theirs.begin() + (head + 1) * tokens);
    auto const u = utilities(*scheduler, blocks(tokens), budget, policy.by_head ? head : 0);
    std::int32_t scored = tokens;
    double scale = 1;
    if (c.contains("window")) scored -= c.at("window").get<std::int32_t>();   // the window's score is a sentinel there, 1 here
    if (name == "tova") scored -= 1;                                          // so is the last token's
    if (name == "observed_attention") scale = 1 / *std::max_element(score.begin(), score.end());
    double const small = *std::max_element(score.begin(), score.begin() + scored) * scale / 1000;
    for (std::int32_t token = 0; token < scored; ++token) {
      auto const i = static_cast<std::size_t>(token);
      EXPECT_NEAR(u[i], score[i] * scale, tolerance * std::max(score[i] * scale, small)) << "KV head " << head << ", token " << token;
    }
    for (auto i = static_cast<std::size_t>(scored); i < u.size(); ++i) EXPECT_EQ(u[i], 1);
  }
}

std::string name_of(::testing::TestParamInfo<std::size_t> const& info) {
  Json const& c = cases()[info.param];
  return c.at("prompt").get<std::string>() + "_layer" + std::to_string(c.at("layer").get<int>()) + "_" + c.at("case").get<std::string>() + "_drops_" +
         std::to_string(static_cast<int>(100 * c.at("ratio_removed").get<double>())) + "_percent";
}
/// Theirs floors and rounds, so that its sum may be off; ours is exact.
TEST(KvpressPyramid, HasOurBudgetsToTheToken) {
  for (Json const& row : Json::parse(std::ifstream{data_folder() / "kvpress" / "pyramid_budgets.json"})) {
    auto const theirs = row.at("budgets").get<std::vector<std::int64_t>>();
    auto const length = row.at("tokens").get<std::int64_t>();
    auto const layers = row.at("layers").get<std::int32_t>();
    auto const total = std::lround(static_cast<double>(length * layers) * (1 - row.at("ratio_removed").get<double>()));
    auto const ours = pyramid_budgets(total, length - row.at("window").get<std::int64_t>(), layers, row.at("beta"));
    ASSERT_EQ(ours.size(), theirs.size());
    for (std::size_t layer = 0; layer < ours.size(); ++layer) EXPECT_LE(std::abs(ours[layer] - theirs[layer]), 1) << row << ", layer " << layer;
    EXPECT_EQ(std::accumulate(ours.begin(), ours.end(), std::int64_t{0}), total);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Kvpress, ::testing::Range(std::size_t{0}, cases().size()), name_of);

}   // namespace
}   // namespace pikv::test
