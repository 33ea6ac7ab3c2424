#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "kernels/linear.hpp"
#include "runtime/model/checkpoint.hpp"
#include "runtime/model/config.hpp"
#include "runtime/model/embedded.hpp"
#include "shards/page.hpp"

namespace pikv::runtime {

/// SwiGLU feed-forward of one expert: w2( silu(w1 x) * (w3 x) ).
struct ExpertWeights {
  kernels::MatrixView w1, w2, w3;
};

struct LayerWeights {
  std::vector<float> attention_norm, ffn_norm;   // [hidden], as fp32
  std::vector<float> q_norm, k_norm;             // [head_dim] or [heads * head_dim] (QkNorm); empty: none
  kernels::MatrixView q, k, v, o;
  kernels::MatrixView gate;             // [experts][hidden]; empty (data null) where there is one expert
  std::vector<ExpertWeights> experts;   // first_expert .. first_expert + size of this rank
};

/// Expert e of the model lives on rank floor(e G / E) (design 4); a rank may hold none.
int rank_of_expert(std::int32_t expert, std::int32_t experts, int ranks);

/// A model as one rank sees it: attention weights whole, its own experts only. Weights keep their precision and stay in the mapped
/// files. Refuses (InputError) missing tensors and wrong shapes, also of experts elsewhere, and weights that are not finite (each rank
/// checks what it uses). Movable; what it hands out stays valid as long as it lives.
class Model {
 public:
  static Model load(std::filesystem::path const& dir, int rank, int ranks);

  ModelConfig const& config() const { return config_; }
  kernels::MatrixView embedding() const { return embedding_; }   // [vocab][hidden]
  kernels::MatrixView head() const { return head_; }             // [vocab][hidden]
  std::vector<float> const& final_norm() const { return final_norm_; }
  LayerWeights const& layer(std::int32_t l) const { return layers_[static_cast<std::size_t>(l)]; }
  std::int32_t first_expert() const { return first_expert_; }
  std::int32_t expert_count() const { return expert_count_; }
  std::int64_t parameters() const { return parameters_; }   // of the whole model
  /// xxh3-128 over the config and the first MiB of each of the tensors that every key and value passes: embedding, attention norms,
  /// k and v projections, k norms. The same on every rank; dtype and page shape are mixed in by the store.
  shards::Fingerprint fingerprint() const { return fingerprint_; }

 private:
  Model(ModelConfig config, std::unique_ptr<Checkpoint> checkpoint, int rank, int ranks);

  ModelConfig config_;
  std::unique_ptr<Checkpoint> checkpoint_;
  kernels::MatrixView embedding_, head_;
  std::vector<float> final_norm_;
  std::vector<LayerWeights> layers_;
  std::int32_t first_expert_ = 0, expert_count_ = 0;
  std::int64_t parameters_ = 0;
  shards::Fingerprint fingerprint_;
};

}   // namespace pikv::runtime
