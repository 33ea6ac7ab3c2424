#include "runtime/model/config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/runtime/model/model_files.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::runtime {
namespace {

using kernels::GateWeights;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct ConfigTest : ::testing::Test {
  ModelConfig read(nlohmann::json const& patch) {
    auto config = nlohmann::json::parse(test::read_file(test::embedded_folder() / "tiny-moe/config.json"));
    config.merge_patch(patch);   // null removes a key
    test::write_file(folder.path() / "config.json", config.dump());
    return read_config(folder.path());
  }
  ModelConfig read(char const* patch) { return read(nlohmann::json::parse(patch)); }
  test::ScratchFolder folder;
};

TEST_F(ConfigTest, ReadsTheEmbeddedModels) {
  auto const config = read_config(test::embedded_folder() / "tiny-moe");
  EXPECT_EQ(config.architecture, "MixtralForCausalLM");
  EXPECT_EQ(config.vocab, 256);
  EXPECT_EQ(config.hidden, 256);
  EXPECT_EQ(config.layers, 4);
  EXPECT_EQ(config.q_heads, 4);
  EXPECT_EQ(config.kv_heads, 2);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_EQ(config.intermediate, 128);
  EXPECT_EQ(config.experts, 8);
  EXPECT_EQ(config.experts_per_token, 2);
  EXPECT_EQ(config.rms_eps, 1e-5f);
  EXPECT_EQ(config.rope_theta, 100000.f);
  EXPECT_EQ(config.max_positions, 8192);
  EXPECT_FALSE(config.tied_embedding);
  EXPECT_EQ(config.bos, -1);
  EXPECT_THAT(config.eos, ElementsAre(3));
  EXPECT_TRUE(config.moe());
}

TEST_F(ConfigTest, ReadsNewNames) {
  auto const config = read_config(test::data_folder() / "odd-llama");
  EXPECT_EQ(config.architecture, "LlamaForCausalLM");
  EXPECT_EQ(config.rope_theta, 2000.f);
  EXPECT_EQ(config.head_dim, 8);
  EXPECT_EQ(config.experts, 1);
  EXPECT_FALSE(config.moe());
  EXPECT_EQ(config.bos, 1);
  EXPECT_THAT(config.eos, ElementsAre(2, 96));
}

TEST_F(ConfigTest, ReadsAQwen3Moe) {
  auto const config = read_config(test::data_folder() / "odd-qwen3-moe");
  EXPECT_EQ(config.architecture, "Qwen3MoeForCausalLM");
  EXPECT_EQ(config.intermediate, 18);   // moe_intermediate_size, not intermediate_size
  EXPECT_EQ(config.experts, 7);
  EXPECT_EQ(config.experts_per_token, 3);
  EXPECT_EQ(config.gate_weights, GateWeights::sum_to_one);
  EXPECT_EQ(config.qk_norm, QkNorm::head);
  EXPECT_EQ(config.head_dim, 14);
}

TEST_F(ConfigTest, ReadsAnOlmoe) {
  auto const config = read_config(test::data_folder() / "odd-olmoe");
  EXPECT_EQ(config.architecture, "OlmoeForCausalLM");
  EXPECT_EQ(config.intermediate, 22);
  EXPECT_EQ(config.experts, 6);
  EXPECT_EQ(config.gate_weights, GateWeights::of_all);
  EXPECT_EQ(config.qk_norm, QkNorm::projection);
  EXPECT_EQ(config.bos, -1);
}

TEST_F(ConfigTest, TakesTheGateRuleFromTheArchitectureOrTheFile) {
  char const* const qwen3 = R"({"architectures": ["Qwen3MoeForCausalLM"], "num_experts": 8, "moe_intermediate_size": 128)";
  EXPECT_EQ(read(R"({"norm_topk_prob": false})").gate_weights, GateWeights::sum_to_one);   // a Mixtral has no such key
  EXPECT_EQ(read((qwen3 + std::string{R"(, "norm_topk_prob": true})"}).c_str()).gate_weights, GateWeights::sum_to_one);
  EXPECT_EQ(read((qwen3 + std::string{R"(, "norm_topk_prob": false})"}).c_str()).gate_weights, GateWeights::of_all);
  EXPECT_EQ(read((qwen3 + std::string{"}"}).c_str()).gate_weights, GateWeights::of_all);   // as transformers' default
}

TEST_F(ConfigTest, KnowsWhetherExpertsAreStoredOnce) {
  EXPECT_FALSE(read("{}").equal_experts);
  EXPECT_TRUE(read(R"({"pikv_equal_experts": true})").equal_experts);
}

TEST_F(ConfigTest, FillsInWhatOldFilesLeaveOut) {
  EXPECT_EQ(read(R"({"num_key_value_heads": null})").kv_heads, 4);
  EXPECT_EQ(read(R"({"head_dim": null})").head_dim, 64);
  EXPECT_THAT(read(R"({"eos_token_id": null})").eos, IsEmpty());
  EXPECT_EQ(read(R"({"architectures": ["LlamaForCausalLM"], "rope_theta": null})").rope_theta, 10000.f);
}

TEST_F(ConfigTest, AcceptsSettingsThatChangeNothing) {
  for (char const* patch :
       {R"({"sliding_window": 8192})", R"({"sliding_window": 16, "use_sliding_window": false})", R"({"attention_bias": false})",
        R"({"rope_scaling": {"type": "default"}})", R"({"layer_types": ["full_attention"]})", R"({"partial_rotary_factor": 1.0})",
        R"({"decoder_sparse_step": 1, "mlp_only_layers": []})", R"({"clip_qkv": null})"})
    EXPECT_NO_THROW(read(patch)) << patch;
}

TEST_F(ConfigTest, NamesAKeyThatIsMissing) {
  for (char const* key : {"architectures", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                          "num_local_experts", "num_experts_per_tok", "rms_norm_eps", "rope_theta", "max_position_embeddings"})
    EXPECT_THAT(test::complaint([&] { read({{key, nullptr}}); }), AllOf(HasSubstr("config.json"), HasSubstr("no \"" + std::string{key} + '"')));
}

struct Refused {
  char const* patch;
  char const* says;
};
void PrintTo(Refused const& refused, std::ostream* out) { *out << refused.patch; }

struct RefusedConfigTest : ConfigTest, ::testing::WithParamInterface<Refused> {};

TEST_P(RefusedConfigTest, IsNamed) {
  EXPECT_THAT(test::complaint([&] { read(GetParam().patch); }), AllOf(HasSubstr("config.json"), HasSubstr(GetParam().says)));
}

INSTANTIATE_TEST_SUITE_P(Unsupported, RefusedConfigTest,
                         ::testing::Values(Refused{R"({"sliding_window": 4096})", "sliding_window = 4096 is shorter than the context of 8192"},
                                           Refused{R"({"rope_scaling": {"type": "linear", "factor": 2}})", "rope_scaling = {..} has type \"linear\""},
                                           Refused{R"({"rope_scaling": {"rope_type": "llama3"}})", "scaled rope"},
                                           Refused{R"({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}})", "scaled rope"},
                                           Refused{R"({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}})", "differs by layer"},
                                           Refused{R"({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}})",
                                                   "a part of each head"},
                                           Refused{R"({"partial_rotary_factor": 0.5})", "partial_rotary_factor"},
                                           Refused{R"({"attention_bias": true})", "attention_bias"}, Refused{R"({"mlp_bias": true})", "mlp_bias"},
                                           Refused{R"({"clip_qkv": 8})", "clip_qkv"}, Refused{R"({"hidden_act": "gelu"})", "hidden_act = \"gelu\""},
                                           Refused{R"({"quantization_config": {"bits": 4}})", "quantization_config"},
                                           Refused{R"({"layer_types": ["sliding_attention"]})", "layer_types"},
                                           Refused{R"({"decoder_sparse_step": 2})", "decoder_sparse_step = 2 makes some layers dense"},
                                           Refused{R"({"mlp_only_layers": [0]})", "mlp_only_layers = [..] makes some layers dense"},
                                           Refused{R"({"architectures": ["Qwen2MoeForCausalLM"]})",
                                                   "Qwen2MoeForCausalLM, which is not supported (MixtralForCausalLM, LlamaForCausalLM, "
                                                   "Qwen3MoeForCausalLM, Qwen3ForCausalLM, OlmoeForCausalLM are)"}));

INSTANTIATE_TEST_SUITE_P(
    TypesAndRanges, RefusedConfigTest,
    ::testing::Values(Refused{R"({"vocab_size": "256"})", "vocab_size = \"256\" is not a whole number"},
                      Refused{R"({"vocab_size": 0})", "vocab_size"}, Refused{R"({"hidden_size": -256})", "hidden_size"},
                      Refused{R"({"hidden_size": 256.5})", "hidden_size"}, Refused{R"({"hidden_size": 18446744073709551615})", "hidden_size"},
                      Refused{R"({"num_hidden_layers": 65536})", "num_hidden_layers"},
                      Refused{R"({"num_key_value_heads": 3})", "num_key_value_heads = 3 does not divide the 4 query heads"},
                      Refused{R"({"num_key_value_heads": 8})", "num_key_value_heads"},
                      Refused{R"({"head_dim": 63})", "head_dim = 63 makes heads of 63, an odd size"},
                      Refused{R"({"num_attention_heads": 6, "head_dim": null})", "num_attention_heads = 6 does not divide hidden_size = 256"},
                      Refused{R"({"num_experts_per_tok": 9})", "num_experts_per_tok"}, Refused{R"({"decoder_sparse_step": "1"})", "decoder_sparse_step"},
                      Refused{R"({"mlp_only_layers": 0})", "mlp_only_layers"}, Refused{R"({"pikv_equal_experts": 1})", "pikv_equal_experts"},
                      Refused{R"({"architectures": ["OlmoeForCausalLM"], "num_experts": 0})", "num_experts = 0"},
                      Refused{R"({"architectures": ["OlmoeForCausalLM"], "num_experts": 8, "norm_topk_prob": 1})", "norm_topk_prob"}, Refused{R"({"rms_norm_eps": 0})", "rms_norm_eps"},
                      Refused{R"({"rope_theta": "1e4"})", "rope_theta"}, Refused{R"({"rope_theta": 1e300})", "rope_theta"},
                      Refused{R"({"rope_parameters": {"rope_theta": -1}})", "rope_parameters"},
                      Refused{R"({"rope_parameters": 7})", "rope_parameters"}, Refused{R"({"eos_token_id": 256})", "eos_token_id"},
                      Refused{R"({"eos_token_id": [3, "x"]})", "eos_token_id"}, Refused{R"({"bos_token_id": -2})", "bos_token_id"},
                      Refused{R"({"tie_word_embeddings": 1})", "tie_word_embeddings"},
                      Refused{R"({"max_position_embeddings": 0})", "max_position_embeddings"},
                      Refused{R"({"architectures": "LlamaForCausalLM"})", "architectures"}, Refused{R"({"architectures": []})", "architectures"}));

TEST_F(ConfigTest, RefusesWhatIsNotAJsonObject) {
  auto const says = [&](std::string const& content) {
    test::write_file(folder.path() / "config.json", content);
    return test::complaint([&] { read_config(folder.path()); });
  };
  EXPECT_THAT(says(""), HasSubstr("not valid JSON"));
  EXPECT_THAT(says("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(says("{\"vocab_size\": 1, \"vocab_size\": 2}"), HasSubstr("\"vocab_size\" occurs twice"));
  EXPECT_THAT(says("\xFF\xFE"), HasSubstr("not UTF-8"));
  EXPECT_THAT(test::complaint([&] { read_config(folder.path() / "absent"); }), HasSubstr("absent/config.json"));
}

}   // namespace
}   // namespace pikv::runtime
