#include "runtime/model/model.hpp"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "comm/error.hpp"
#include "runtime/model/fingerprint.hpp"
#include "runtime/model/finite.hpp"

namespace pikv::runtime {
namespace {

using kernels::DType;
using kernels::MatrixView;

class WeightReader {
 public:
  explicit WeightReader(Checkpoint const& checkpoint) : checkpoint_{checkpoint} {}

  MatrixView matrix(std::string const& name, std::int32_t out, std::int32_t in, bool used = true) {
    auto const& tensor = checked(name, {out, in}, used);
    return {tensor.data, tensor.dtype, out, in};
  }

  std::vector<float> vector(std::string const& name, std::int32_t size) {
    auto const& tensor = checked(name, {size}, true);
    std::vector<float> values(static_cast<std::size_t>(size));
    auto const* const wide = static_cast<float const*>(tensor.data);
    auto const* const narrow = static_cast<std::uint16_t const*>(tensor.data);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = tensor.dtype == DType::f32 ? wide[i] : tensor.dtype == DType::bf16 ? kernels::from_bf16(narrow[i]) : kernels::from_f16(narrow[i]);
    return values;
  }

  std::int64_t parameters() const { return parameters_; }

 private:
  TensorView const& checked(std::string const& name, std::vector<std::int64_t> const& shape, bool used) {
    auto const& tensor = checkpoint_.tensor(name, shape);
    if (used && finite_.insert(name).second && !all_finite(tensor))
      throw InputError(fmt::format("{}: tensor '{}' holds a value that is not finite (NaN or infinity); copy the checkpoint again",
                                   checkpoint_.dir().string(), name));
    if (counted_.insert(name).second) parameters_ += tensor.count();
    return tensor;
  }

  Checkpoint const& checkpoint_;
  std::set<std::string> counted_, finite_;   // equal experts are read again and again
  std::int64_t parameters_ = 0;
};

ExpertWeights read_expert(WeightReader& read, std::string const& layer, ModelConfig const& c, Architecture const& of, std::int32_t expert,
                          bool used) {
  auto const prefix = layer + of.expert_prefix(c.equal_experts ? 0 : expert);
  auto const name = [&](std::string_view part) { return fmt::format("{}{}.weight", prefix, part); };
  return {.w1 = read.matrix(name(of.experts.w1), c.intermediate, c.hidden, used),
          .w2 = read.matrix(name(of.experts.w2), c.hidden, c.intermediate, used),
          .w3 = read.matrix(name(of.experts.w3), c.intermediate, c.hidden, used)};
}

LayerWeights read_layer(WeightReader& read, std::string const& layer, ModelConfig const& c, int rank, int ranks) {
  auto const& of = *find_architecture(c.architecture);
  LayerWeights weights;
  weights.attention_norm = read.vector(layer + "input_layernorm.weight", c.hidden);
  weights.ffn_norm = read.vector(layer + "post_attention_layernorm.weight", c.hidden);
  weights.q = read.matrix(layer + "self_attn.q_proj.weight", c.q_heads * c.head_dim, c.hidden);
  weights.k = read.matrix(layer + "self_attn.k_proj.weight", c.kv_heads * c.head_dim, c.hidden);
  weights.v = read.matrix(layer + "self_attn.v_proj.weight", c.kv_heads * c.head_dim, c.hidden);
  weights.o = read.matrix(layer + "self_attn.o_proj.weight", c.hidden, c.q_heads * c.head_dim);
  if (c.qk_norm != QkNorm::none) {
    bool const whole = c.qk_norm == QkNorm::projection;
    weights.q_norm = read.vector(layer + "self_attn.q_norm.weight", whole ? c.q_heads * c.head_dim : c.head_dim);
    weights.k_norm = read.vector(layer + "self_attn.k_norm.weight", whole ? c.kv_heads * c.head_dim : c.head_dim);
  }
  if (c.moe()) weights.gate = read.matrix(fmt::format("{}{}.weight", layer, of.experts.gate), c.experts, c.hidden);
  for (std::int32_t e = 0; e < c.experts; ++e) {
    bool const ours = rank_of_expert(e, c.experts, ranks) == rank;
    auto const expert = read_expert(read, layer, c, of, e, ours);
    if (ours) weights.experts.push_back(expert);
  }
  return weights;
}

}   // namespace

int rank_of_expert(std::int32_t expert, std::int32_t experts, int ranks) { return static_cast<int>(std::int64_t{expert} * ranks / experts); }

Model Model::load(std::filesystem::path const& dir, int rank, int ranks) {
  std::error_code unreadable;
  if (!std::filesystem::is_directory(dir, unreadable))
    throw InputError(fmt::format("the model folder {} does not exist; give the folder of a checkpoint", dir.string()));
  auto config = read_config(dir);
  return {std::move(config), std::make_unique<Checkpoint>(dir), rank, ranks};
}

Model::Model(ModelConfig config, std::unique_ptr<Checkpoint> checkpoint, int rank, int ranks)
    : config_{std::move(config)}, checkpoint_{std::move(checkpoint)} {
  WeightReader read{*checkpoint_};
  embedding_ = read.matrix("model.embed_tokens.weight", config_.vocab, config_.hidden);
  head_ = config_.tied_embedding ? embedding_ : read.matrix("lm_head.weight", config_.vocab, config_.hidden);
  final_norm_ = read.vector("model.norm.weight", config_.hidden);
  for (std::int32_t l = 0; l < config_.layers; ++l) layers_.push_back(read_layer(read, fmt::format("model.layers.{}.", l), config_, rank, ranks));

  while (first_expert_ < config_.experts && rank_of_expert(first_expert_, config_.experts, ranks) < rank) ++first_expert_;
  expert_count_ = static_cast<std::int32_t>(layers_.front().experts.size());
  parameters_ = read.parameters();
  fingerprint_ = fingerprint_of(config_, *checkpoint_);
}

}   // namespace pikv::runtime
