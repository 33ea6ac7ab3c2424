#include "runtime/forward.hpp"

#include <algorithm>
#include <string>

#include "comm/error.hpp"
#include "kernels/gate.hpp"
#include "kernels/norm.hpp"
#include "kernels/rotary.hpp"

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

Forward::Forward(Model const& model, shards::Store& store, Experts& experts, StageClock& clock)
    : model_{model}, config_{model.config()}, store_{store}, experts_{experts}, clock_{clock} {}

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
  return logits_;
}

void Forward::embed(Batch const& batch) {
  std::size_t const hidden = static_cast<std::size_t>(config_.hidden);
  x_.resize(product(rows_, config_.hidden));
  normed_.resize(x_.size());
  for (std::int32_t row = 0; row < rows_; ++row)
    copy_row(model_.embedding(), batch.tokens[static_cast<std::size_t>(row)], x_.data() + static_cast<std::size_t>(row) * hidden);
  cos_.resize(product(rows_, config_.head_dim / 2));
  sin_.resize(cos_.size());
  kernels::host::rotary_table(batch.positions.data(), rows_, config_.head_dim, config_.rope_theta, cos_.data(), sin_.data(), host_);
}

void Forward::attention_start(std::int32_t layer) {
  clock_.enter(Stage::attention);
  LayerWeights const& weights = model_.layer(layer);
  q_.resize(product(rows_, config_.q_heads * config_.head_dim));
  k_.resize(product(rows_, config_.kv_heads * config_.head_dim));
  v_.resize(k_.size());
  kernels::host::rms_norm(x_.data(), weights.attention_norm.data(), config_.rms_eps, normed_.data(), rows_, config_.hidden, host_);
  kernels::host::linear(normed_.data(), weights.q, q_.data(), rows_, host_);
  kernels::host::linear(normed_.data(), weights.k, k_.data(), rows_, host_);
  kernels::host::linear(normed_.data(), weights.v, v_.data(), rows_, host_);
  qk_norm(weights.q_norm, q_);
  qk_norm(weights.k_norm, k_);
  kernels::host::rotary(q_.data(), cos_.data(), sin_.data(), rows_, config_.q_heads, config_.head_dim, host_);
  kernels::host::rotary(k_.data(), cos_.data(), sin_.data(), rows_, config_.kv_heads, config_.head_dim, host_);
  store_.append(layer, k_.data(), v_.data());
  store_.attend_start(layer, q_.data());
}

// Every weight.size() values are a vector to norm; no weight, no norm.
void Forward::qk_norm(std::vector<float> const& weight, std::vector<float>& x) {
  if (weight.empty()) return;
  kernels::host::rms_norm(x.data(), weight.data(), config_.rms_eps, x.data(), static_cast<std::int32_t>(x.size() / weight.size()),
                          static_cast<std::int32_t>(weight.size()), host_);
}

void Forward::attention_finish(std::int32_t layer, Batch const& batch) {
  attended_.resize(q_.size());
  double const waited = store_.communication_seconds();
  store_.attend_finish(layer, attended_.data());
  if (probe_ != nullptr) probe_->attended(layer, batch, q_.data(), k_.data(), v_.data(), attended_.data());
  clock_.enter(Stage::attention);
  clock_.move(Stage::attention, Stage::communication, store_.communication_seconds() - waited);
  kernels::host::linear(attended_.data(), model_.layer(layer).o, normed_.data(), rows_, host_);
  kernels::host::add(x_.data(), normed_.data(), x_.size(), host_);
}

void Forward::ffn_start(std::int32_t layer) {
  clock_.enter(Stage::routing);
  LayerWeights const& weights = model_.layer(layer);
  kernels::host::rms_norm(x_.data(), weights.ffn_norm.data(), config_.rms_eps, normed_.data(), rows_, config_.hidden, host_);
  weights_.resize(product(rows_, config_.experts_per_token));
  ids_.resize(weights_.size());
  if (config_.moe()) {
    gate_logits_.resize(product(rows_, config_.experts));
    kernels::host::linear(normed_.data(), weights.gate, gate_logits_.data(), rows_, host_);
    if (store_.wants_gate()) probability_.resize(gate_logits_.size());
    kernels::host::gate(gate_logits_.data(), rows_, config_.experts, config_.experts_per_token, config_.gate_weights, ids_.data(), weights_.data(),
                        store_.wants_gate() ? probability_.data() : nullptr, host_);
    if (store_.wants_gate()) store_.gated(layer, probability_.data(), config_.experts);
  } else {
    std::fill(ids_.begin(), ids_.end(), 0);
    std::fill(weights_.begin(), weights_.end(), 1.0f);
  }
  clock_.enter(Stage::communication);
  experts_.start(normed_.data(), ids_.data(), weights_.data(), rows_);
}

void Forward::ffn_finish(shards::Step step, std::int32_t layer) { experts_.finish(step, layer, x_.data()); }

void Forward::head(Batch const& batch) {
  auto const wanted = static_cast<std::int32_t>(batch.logit_rows.size());
  std::size_t const hidden = static_cast<std::size_t>(config_.hidden);
  last_.resize(product(wanted, config_.hidden));
  logits_.resize(product(wanted, config_.vocab));
  for (std::size_t i = 0; i < batch.logit_rows.size(); ++i)
    std::copy_n(x_.data() + static_cast<std::size_t>(batch.logit_rows[i]) * hidden, hidden, last_.data() + i * hidden);
  kernels::host::rms_norm(last_.data(), model_.final_norm().data(), config_.rms_eps, last_.data(), wanted, config_.hidden, host_);
  kernels::host::linear(last_.data(), model_.head(), logits_.data(), wanted, host_);
}

}  // namespace pikv::runtime
