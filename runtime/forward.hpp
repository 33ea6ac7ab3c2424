#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/buffer.hpp"
#include "runtime/batch.hpp"
#include "runtime/experts.hpp"
#include "runtime/layer_probe.hpp"
#include "runtime/model/placed_weights.hpp"
#include "runtime/stage_clock.hpp"
#include "shards/store.hpp"

namespace pikv::runtime {

/// The model over a ragged batch, all ranks together: four exchanges a layer (queries, partials, dispatch, combine; queries and
/// partials twice in certified attention). A layer is two
/// start/finish pairs, so that two batches could alternate. What the model works on lies in the memory of the weights' device; messages, what the
/// gate chose and logits in the processor's.
class Forward {
 public:
  Forward(Model const& model, PlacedWeights const& weights, shards::Store& store, Experts& experts, StageClock& clock);

  /// From now on it looks on.
  void watch(LayerProbe* probe) { probe_ = probe; }
  /// Logits [batch.logit_rows.size()][vocab], valid until the next run. Keys and values of all rows are in the store.
  std::span<float const> run(Batch const& batch, shards::Step step);

 private:
  void embed(Batch const& batch);
  void weigh_by_one(std::size_t chosen);
  void attention_start(std::int32_t layer);
  void qk_norm(std::span<float const> weight, kernels::Buffer<float>& x);
  void attention_finish(std::int32_t layer, Batch const& batch);
  void ffn_start(std::int32_t layer);
  void ffn_finish(shards::Step step, std::int32_t layer);
  void head(Batch const& batch);

  Model const& model_;
  PlacedWeights const& weights_;
  ModelConfig const& config_;
  shards::Store& store_;
  Experts& experts_;
  StageClock& clock_;
  LayerProbe* probe_ = nullptr;
  kernels::Device& device_;
  std::int32_t rows_ = 0;
  kernels::Filled<float> x_{device_};   // [rows][hidden]
  kernels::Buffer<float> normed_{device_};
  kernels::Buffer<float> q_{device_}, k_{device_}, v_{device_}, attended_{device_};   // [rows][heads][head_dim]
  kernels::Buffer<float> cos_{device_}, sin_{device_};   // [rows][head_dim / 2]
  kernels::Buffer<float> gate_logits_{device_}, probability_{device_}, gate_weights_{device_};   // [rows][experts], [rows][k]
  kernels::Buffer<std::int32_t> ids_{device_};   // [rows][k]
  std::vector<std::int32_t> zeros_;        // the same where there is one expert
  std::vector<float const*> last_rows_;    // of x_, that logits are wanted of
  kernels::Buffer<float> last_{device_};   // [logit rows][hidden]
  kernels::Buffer<float> logits_{device_};   // [logit rows][vocab]
  kernels::OnHost<float> probability_on_host_{device_}, logits_on_host_{device_};
  kernels::OnHost<std::int32_t> ids_on_host_{device_};
  kernels::OnHost<float> q_seen_{device_}, k_seen_{device_}, v_seen_{device_}, attended_seen_{device_};   // by the probe
};

}  // namespace pikv::runtime
