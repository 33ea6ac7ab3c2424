#include "runtime/forward.hpp"

#include <algorithm>
#include <string>

#include "comm/error.hpp"

namespace pikv::runtime {

namespace {

std::size_t product(std::int32_t a, std::int32_t b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

// One row of a matrix as fp32.
void copy_row(kernels::MatrixView const& matrix, std::int32_t row, float* out) {
  std::size_t const n = static_cast<std::size_t>(matrix.in), first = static_cast<std::size_t>(row) * n;
  auto const* const half = static_cast<std::uint16_t const*>(matrix.data);
  switch (matrix.dtype) {
    case kernels::DType::f32: std::copy_n(static_cast<float const*>(matrix.data) + first, n, out); return;
    case kernels::DType::bf16: std::transform(half + first, half + first + n, out, kernels::from_bf16); return;
    case kernels::DType::f16: std::transform(half + first, half + first + n, out, kernels::from_f16); return;
  }
}

}  // namespace

Forward::Forward(Model const& model, PlacedWeights const& weights, shards::Store& store, Experts& experts, StageClock& clock)
    : model_{model},
      weights_{weights},
      config_{model.config()},
      store_{store},
      experts_{experts},
      clock_{clock},
      device_{weights.device()} {}

std::span<float const> Forward::run(Batch const& batch, shards::Step step) {
  rows_ = batch.rows();
  clock_.enter(Stage::other);
  embed(batch);
  for (std::int32_t layer = 0; layer < config_.layers; ++layer) {
    attention_start(layer);
    attention_finish(layer, batch);
    ffn_start(layer);
    ffn_finish(step, layer);
  }
  clock_.enter(Stage::other);
  head(batch);
  return {logits_on_host_(logits_.data(), logits_.size()), logits_.size()};
}

void Forward::embed(Batch const& batch) {
  std::size_t const hidden = static_cast<std::size_t>(config_.hidden);
  float* const x = x_.resize(product(rows_, config_.hidden));
  for (std::int32_t row = 0; row < rows_; ++row)
    copy_row(model_.embedding(), batch.tokens[static_cast<std::size_t>(row)], x + static_cast<std::size_t>(row) * hidden);
  x_.send();
  normed_.resize(x_.size());
  if (!config_.moe()) weigh_by_one(product(rows_, config_.experts_per_token));
  cos_.resize(product(rows_, config_.head_dim / 2));
  sin_.resize(cos_.size());
  device_.rotary_table(batch.positions.data(), rows_, config_.head_dim, config_.rope_theta, cos_.data(), sin_.data());
}

// Of one expert.
void Forward::weigh_by_one(std::size_t chosen) {
  if (gate_weights_.size() == chosen) return;
  std::vector<float> const ones(chosen, 1.0f);
  kernels::copy_in<float>(device_, gate_weights_.resize(chosen), ones);
}

void Forward::attention_start(std::int32_t layer) {
  clock_.enter(Stage::attention);
  PlacedLayer const& weights = weights_.layer(layer);
  q_.resize(product(rows_, config_.q_heads * config_.head_dim));
  k_.resize(product(rows_, config_.kv_heads * config_.head_dim));
  v_.resize(k_.size());
  device_.rms_norm(x_.data(), weights.attention_norm.data(), config_.rms_eps, normed_.data(), rows_, config_.hidden);
  device_.linear(normed_.data(), weights.q, q_.data(), rows_);
  device_.linear(normed_.data(), weights.k, k_.data(), rows_);
  device_.linear(normed_.data(), weights.v, v_.data(), rows_);
  qk_norm(weights.q_norm, q_);
  qk_norm(weights.k_norm, k_);
  device_.rotary(q_.data(), cos_.data(), sin_.data(), rows_, config_.q_heads, config_.head_dim);
  device_.rotary(k_.data(), cos_.data(), sin_.data(), rows_, config_.kv_heads, config_.head_dim);
  store_.append(layer, k_.data(), v_.data());
  store_.attend_start(layer, q_.data());
}

// Every weight.size() values are a vector to norm; no weight, no norm.
void Forward::qk_norm(std::span<float const> weight, kernels::Buffer<float>& x) {
  if (weight.empty()) return;
  auto const n = static_cast<std::int32_t>(weight.size());
  device_.rms_norm(x.data(), weight.data(), config_.rms_eps, x.data(), static_cast<std::int32_t>(x.size() / weight.size()), n);
}

void Forward::attention_finish(std::int32_t layer, Batch const& batch) {
  attended_.resize(q_.size());
  double const waited = store_.communication_seconds();
  store_.attend_finish(layer, attended_.data());
  if (probe_ != nullptr)
    probe_->attended(layer, batch, q_seen_(q_.data(), q_.size()), k_seen_(k_.data(), k_.size()), v_seen_(v_.data(), v_.size()),
                     attended_seen_(attended_.data(), attended_.size()));
  clock_.enter(Stage::attention);
  clock_.move(Stage::attention, Stage::communication, store_.communication_seconds() - waited);
  device_.linear(attended_.data(), weights_.layer(layer).o, normed_.data(), rows_);
  device_.add(x_.data(), normed_.data(), x_.size());
}

void Forward::ffn_start(std::int32_t layer) {
  clock_.enter(Stage::routing);
  PlacedLayer const& weights = weights_.layer(layer);
  device_.rms_norm(x_.data(), weights.ffn_norm.data(), config_.rms_eps, normed_.data(), rows_, config_.hidden);
  std::size_t const chosen = product(rows_, config_.experts_per_token);
  std::int32_t const* ids = nullptr;
  if (config_.moe()) {
    gate_logits_.resize(product(rows_, config_.experts));
    device_.linear(normed_.data(), weights.gate, gate_logits_.data(), rows_);
    float* const probability = store_.wants_gate() ? probability_.resize(gate_logits_.size()) : nullptr;
    device_.gate(gate_logits_.data(), rows_, config_.experts, config_.experts_per_token, config_.gate_weights, ids_.resize(chosen),
                 gate_weights_.resize(chosen), probability);
    float const* const seen = store_.wants_gate() ? probability_on_host_.fetch(probability, probability_.size()) : nullptr;
    ids = ids_on_host_(ids_.data(), chosen);   // one wait for both
    if (store_.wants_gate()) store_.gated(layer, seen, config_.experts);
  } else {
    zeros_.assign(chosen, 0);
    ids = zeros_.data();
  }
  clock_.enter(Stage::communication);
  experts_.start(normed_.data(), ids, gate_weights_.data(), rows_);
}

void Forward::ffn_finish(shards::Step step, std::int32_t layer) { experts_.finish(step, layer, x_.data()); }

void Forward::head(Batch const& batch) {
  auto const wanted = static_cast<std::int32_t>(batch.logit_rows.size());
  last_rows_.clear();
  for (std::int32_t const row : batch.logit_rows) last_rows_.push_back(x_.data() + product(row, config_.hidden));
  float* const last = last_.resize(product(wanted, config_.hidden));
  logits_.resize(product(wanted, config_.vocab));
  device_.gather_rows(last_rows_, config_.hidden, last);
  device_.rms_norm(last, weights_.final_norm().data(), config_.rms_eps, last, wanted, config_.hidden);
  device_.linear(last, weights_.head(), logits_.data(), wanted);
}

}  // namespace pikv::runtime
