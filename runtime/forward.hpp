#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/stream.hpp"
#include "runtime/batch.hpp"
#include "runtime/experts.hpp"
#include "runtime/layer_probe.hpp"
#include "runtime/model/model.hpp"
#include "runtime/stage_clock.hpp"
#include "shards/store.hpp"

namespace pikv::runtime {

/// The model over a ragged batch, all ranks together: four exchanges a layer (queries, partials, dispatch, combine; queries and
/// partials twice in certified attention). A layer is two
/// start/finish pairs, so that two batches could alternate.
class Forward {
 public:
  Forward(Model const& model, shards::Store& store, Experts& experts, StageClock& clock);

  /// From now on it looks on.
  void watch(LayerProbe* probe) { probe_ = probe; }
  /// Logits [batch.logit_rows.size()][vocab], valid until the next run. Keys and values of all rows are in the store.
  std::span<float const> run(Batch const& batch, shards::Step step);

 private:
  void embed(Batch const& batch);
  void attention_start(std::int32_t layer);
  void qk_norm(std::vector<float> const& weight, std::vector<float>& x);
  void attention_finish(std::int32_t layer, Batch const& batch);
  void ffn_start(std::int32_t layer);
  void ffn_finish(shards::Step step, std::int32_t layer);
  void head(Batch const& batch);

  Model const& model_;
  ModelConfig const& config_;
  shards::Store& store_;
  Experts& experts_;
  StageClock& clock_;
  LayerProbe* probe_ = nullptr;
  kernels::Stream host_;
  std::int32_t rows_ = 0;
  std::vector<float> x_, normed_;            // [rows][hidden]
  std::vector<float> q_, k_, v_, attended_;  // [rows][heads][head_dim]
  std::vector<float> cos_, sin_;             // [rows][head_dim / 2]
  std::vector<float> gate_logits_, probability_, weights_; // [rows][experts], [rows][k]
  std::vector<std::int32_t> ids_;            // [rows][k]
  std::vector<float> last_, logits_;         // [logit rows][hidden], [logit rows][vocab]
};

}  // namespace pikv::runtime
