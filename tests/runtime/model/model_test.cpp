#include "runtime/model/model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "runtime/model/finite.hpp"
#include "tests/runtime/model/model_files.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::runtime {
namespace {

using kernels::DType;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::filesystem::path tiny() { return test::embedded_folder() / "tiny-moe"; }
std::filesystem::path odd_mixtral() { return test::data_folder() / "odd-mixtral"; }
std::filesystem::path odd_llama() { return test::data_folder() / "odd-llama"; }

std::string shape_of(kernels::MatrixView const& w) {
  return std::string{name_of(w.dtype)} + " " + std::to_string(w.out) + "x" + std::to_string(w.in);
}

/// A copy of odd-llama, to damage.
struct DamagedModelTest : ::testing::Test {
  DamagedModelTest() {
    for (char const* file : {"config.json", "model.safetensors"}) std::filesystem::copy_file(odd_llama() / file, folder.path() / file);
  }
  std::filesystem::path weights() const { return folder.path() / "model.safetensors"; }

  /// Where the tensor's bytes begin in the file.
  std::size_t place_of(std::string const& tensor) const {
    SafetensorsFile const file{weights()};
    auto const* lowest = file.tensors().begin()->second.bytes.data();
    std::size_t total = 0;
    for (auto const& [name, entry] : file.tensors()) {
      lowest = std::min(lowest, entry.bytes.data());
      total += entry.bytes.size();
    }
    return std::filesystem::file_size(weights()) - total + static_cast<std::size_t>(file.tensors().at(tensor).bytes.data() - lowest);
  }

  void put(std::string const& tensor, float value) {
    auto content = test::read_file(weights());
    std::memcpy(content.data() + place_of(tensor), &value, sizeof value);
    test::write_file(weights(), content);
  }

  void rename(std::string const& from, std::string const& to) {
    auto content = test::read_file(weights());
    content.replace(content.find(from), from.size(), to);
    test::write_file(weights(), content);
  }

  std::string complaint(int rank = 0, int ranks = 1) const {
    return test::complaint([&] { Model::load(folder.path(), rank, ranks); });
  }

  test::ScratchFolder folder;
};

TEST(Model, HoldsTheEmbeddedOne) {
  auto const model = Model::load(tiny(), 0, 1);
  EXPECT_EQ(model.parameters(), 4'073'728);   // summed over the file by python's safetensors
  EXPECT_EQ(shape_of(model.embedding()), "bf16 256x256");
  EXPECT_NE(model.embedding().data, model.head().data);
  EXPECT_EQ(shape_of(model.layer(3).k), "bf16 128x256");
  EXPECT_EQ(shape_of(model.layer(0).gate), "bf16 8x256");
  EXPECT_EQ(shape_of(model.layer(0).experts[7].w2), "bf16 256x128");
  EXPECT_EQ(model.final_norm().size(), 256u);
}

TEST(Model, TiesTheHeadOfAMixtralInShards) {
  auto const model = Model::load(odd_mixtral(), 0, 1);
  EXPECT_EQ(model.head().data, model.embedding().data);
  EXPECT_EQ(shape_of(model.head()), "f16 131x48");
  EXPECT_EQ(shape_of(model.layer(2).q), "f16 60x48");
  EXPECT_EQ(shape_of(model.layer(2).v), "f16 20x48");
  EXPECT_EQ(shape_of(model.layer(2).o), "f16 48x60");
  EXPECT_EQ(shape_of(model.layer(2).experts[4].w1), "f16 20x48");
}

TEST(Model, TakesALlamaForOneExpertWithoutAGate) {
  auto const model = Model::load(odd_llama(), 0, 3);
  EXPECT_EQ(model.layer(1).gate.data, nullptr);
  ASSERT_EQ(model.expert_count(), 1);
  EXPECT_EQ(shape_of(model.layer(1).experts[0].w1), "f32 36x40");
  EXPECT_EQ(shape_of(model.layer(1).experts[0].w2), "f32 40x36");
  EXPECT_EQ(Model::load(odd_llama(), 2, 3).expert_count(), 0);
}

TEST(Model, ReadsNormsOfQueriesAndKeysOverHeadsOrProjections) {
  auto const qwen3 = Model::load(test::data_folder() / "odd-qwen3-moe", 0, 1);
  EXPECT_EQ(qwen3.layer(2).q_norm.size(), 14u);
  EXPECT_EQ(qwen3.layer(2).k_norm.size(), 14u);
  EXPECT_EQ(shape_of(qwen3.layer(2).gate), "f16 7x40");
  EXPECT_EQ(shape_of(qwen3.layer(2).experts[6].w2), "f16 40x18");
  auto const olmoe = Model::load(test::data_folder() / "odd-olmoe", 0, 1);
  EXPECT_EQ(olmoe.layer(1).q_norm.size(), 36u);
  EXPECT_EQ(olmoe.layer(1).k_norm.size(), 12u);
  EXPECT_TRUE(Model::load(odd_llama(), 0, 1).layer(0).q_norm.empty());
}

TEST(Model, ReadsEqualExpertsFromTheFirst) {
  test::ScratchFolder folder;
  auto config = test::read_file(tiny() / "config.json");
  test::write_file(folder.path() / "config.json", config.insert(config.find('{') + 1, "\"pikv_equal_experts\": true,"));
  std::filesystem::copy_file(tiny() / "model.safetensors", folder.path() / "model.safetensors");
  auto const model = Model::load(folder.path(), 0, 1), usual = Model::load(tiny(), 0, 1);
  auto const& experts = model.layer(3).experts;
  ASSERT_EQ(experts.size(), 8u);
  for (auto const& expert : experts) EXPECT_EQ(expert.w2.data, experts[0].w2.data);
  EXPECT_EQ(std::memcmp(experts[0].w2.data, usual.layer(3).experts[0].w2.data, 2u * 256 * 128), 0);
  EXPECT_EQ(model.parameters(), usual.parameters() - 4 * 7 * 3 * 256 * 128);   // seven of eight are not read
  EXPECT_EQ(Model::load(folder.path(), 1, 2).expert_count(), 4);
}

TEST(Model, GivesNormsAsFloats) {
  SafetensorsFile const file{odd_llama() / "model.safetensors"};
  auto const& bytes = file.tensors().at("model.norm.weight").bytes;
  std::vector<float> expected(40);
  std::memcpy(expected.data(), bytes.data(), bytes.size());
  EXPECT_EQ(Model::load(odd_llama(), 0, 1).final_norm(), expected);
}

TEST(Model, SpreadsEveryExpertToOneRank) {
  for (int const ranks : {1, 2, 3, 4, 5, 7}) {
    std::int32_t next = 0;
    for (int rank = 0; rank < ranks; ++rank) {
      auto const model = Model::load(odd_mixtral(), rank, ranks);
      EXPECT_EQ(model.layer(0).experts.size(), static_cast<std::size_t>(model.expert_count()));
      for (std::int32_t e = 0; e < model.expert_count(); ++e, ++next) {
        EXPECT_EQ(model.first_expert() + e, next);
        EXPECT_EQ(rank_of_expert(next, 5, ranks), rank);
      }
    }
    EXPECT_EQ(next, 5) << ranks << " ranks";
  }
}

TEST(Model, HasOneFingerprintOnAllRanks) {
  auto const one = Model::load(odd_mixtral(), 0, 1).fingerprint();
  EXPECT_EQ(Model::load(odd_mixtral(), 2, 3).fingerprint(), one);
  EXPECT_FALSE(Model::load(odd_llama(), 0, 1).fingerprint() == one);
}

TEST_F(DamagedModelTest, HasAnotherFingerprintWithAnotherKeyWeightOrRope) {
  auto const before = Model::load(folder.path(), 0, 1).fingerprint();
  EXPECT_EQ(before, Model::load(odd_llama(), 0, 1).fingerprint());
  put("model.layers.1.self_attn.k_proj.weight", 0.25f);
  auto const other_key = Model::load(folder.path(), 0, 1).fingerprint();
  EXPECT_FALSE(other_key == before);
  auto config = test::read_file(folder.path() / "config.json");
  config.replace(config.find("2000.0"), 6, "2001.0");
  test::write_file(folder.path() / "config.json", config);
  EXPECT_FALSE(Model::load(folder.path(), 0, 1).fingerprint() == other_key);
}

TEST(Model, HasAnotherFingerprintWithAnotherGateRuleOrKeyNorm) {
  test::ScratchFolder folder;
  std::filesystem::copy(test::data_folder() / "odd-olmoe", folder.path());
  auto const before = Model::load(folder.path(), 0, 1).fingerprint();
  auto config = test::read_file(folder.path() / "config.json");
  config.replace(config.find("\"norm_topk_prob\": false"), 23, "\"norm_topk_prob\": true");
  test::write_file(folder.path() / "config.json", config);
  auto const renormalised = Model::load(folder.path(), 0, 1).fingerprint();
  EXPECT_FALSE(renormalised == before);
  SafetensorsFile const file{folder.path() / "model.safetensors"};
  auto const& norm = file.tensors().at("model.layers.0.self_attn.k_norm.weight").bytes;
  auto content = test::read_file(folder.path() / "model.safetensors");
  auto const place = content.find(std::string{reinterpret_cast<char const*>(norm.data()), norm.size()});
  float const other = 0.25f;
  std::memcpy(content.data() + place, &other, sizeof other);
  test::write_file(folder.path() / "model.safetensors", content);
  EXPECT_FALSE(Model::load(folder.path(), 0, 1).fingerprint() == renormalised);
}

TEST_F(DamagedModelTest, IsRefusedWithAWeightThatIsNotFinite) {
  for (char const* tensor : {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight", "model.layers.1.input_layernorm.weight",
                             "model.layers.0.self_attn.o_proj.weight", "model.layers.1.mlp.down_proj.weight"}) {
    put(tensor, std::numeric_limits<float>::quiet_NaN());
    EXPECT_THAT(complaint(), AllOf(HasSubstr(tensor), HasSubstr("not finite")));
    put(tensor, 0.5f);
  }
  put("model.norm.weight", -std::numeric_limits<float>::infinity());
  EXPECT_THAT(complaint(), HasSubstr("not finite"));
}

TEST_F(DamagedModelTest, IsCheckedByTheRankThatUsesTheExpert) {
  put("model.layers.1.mlp.down_proj.weight", std::numeric_limits<float>::infinity());
  EXPECT_THAT(complaint(0, 2), HasSubstr("not finite"));
  EXPECT_THAT(complaint(1, 2), HasSubstr("(no complaint)"));
}

TEST_F(DamagedModelTest, IsRefusedWithoutATensor) {
  rename("model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.up_prog.weight");
  EXPECT_THAT(complaint(), HasSubstr("no tensor 'model.layers.1.mlp.up_proj.weight'"));
  EXPECT_THAT(complaint(1, 2), HasSubstr("no tensor"));
}

TEST_F(DamagedModelTest, IsRefusedWithAShapeThatItsConfigDoesNotAskFor) {
  auto config = test::read_file(folder.path() / "config.json");
  config.replace(config.find("\"intermediate_size\": 36"), 23, "\"intermediate_size\": 37");
  test::write_file(folder.path() / "config.json", config);
  EXPECT_THAT(complaint(), AllOf(HasSubstr("mlp.gate_proj.weight"), HasSubstr("36x40"), HasSubstr("37x40")));
}

TEST(ModelFolder, IsRefusedWhereItDoesNotExist) {
  EXPECT_THAT(test::complaint([] { Model::load("no/such/folder", 0, 1); }), AllOf(HasSubstr("no/such/folder"), HasSubstr("does not exist")));
}

TEST(Finite, FindsOneBadValueAnywhere) {
  for (std::size_t const size : {1u, 1023u, 1024u, 1025u, 5000u})
    for (std::size_t const bad : {std::size_t{0}, size / 2, size - 1}) {
      std::vector<float> wide(size, std::numeric_limits<float>::max());
      std::vector<std::uint16_t> bf16(size, 0x7F7F), f16(size, 0xFBFF);   // the largest finite ones
      auto const shape = std::vector<std::int64_t>{static_cast<std::int64_t>(size)};
      EXPECT_TRUE(all_finite({wide.data(), DType::f32, shape}));
      EXPECT_TRUE(all_finite({bf16.data(), DType::bf16, shape}));
      EXPECT_TRUE(all_finite({f16.data(), DType::f16, shape}));
      wide[bad] = std::numeric_limits<float>::infinity();
      bf16[bad] = 0xFF80;
      f16[bad] = 0x7C01;
      EXPECT_FALSE(all_finite({wide.data(), DType::f32, shape}));
      EXPECT_FALSE(all_finite({bf16.data(), DType::bf16, shape}));
      EXPECT_FALSE(all_finite({f16.data(), DType::f16, shape}));
    }
}

}   // namespace
}   // namespace pikv::runtime
