#include "runtime/experts.hpp"

#include <algorithm>

#include "comm/message.hpp"
#include "shards/queries.hpp"

namespace pikv::runtime {

namespace {

std::size_t message_bytes(Model const& model, std::int32_t most_rows) {
  auto const entries = static_cast<std::size_t>(most_rows) * static_cast<std::size_t>(model.config().experts_per_token);
  return 16 + entries * (8 + static_cast<std::size_t>(model.config().hidden) * sizeof(float));
}

}  // namespace

Experts::Experts(comm::World& world, Model const& model, PlacedWeights const& weights, std::int32_t most_rows, double deadline_s, StageClock& clock)
    : world_{world},
      model_{model},
      placed_{weights},
      device_{weights.device()},
      deadline_s_{deadline_s},
      clock_{clock},
      hidden_{static_cast<std::size_t>(model.config().hidden)},
      k_{static_cast<std::size_t>(model.config().experts_per_token)},
      dispatch_{world.make_exchange({"dispatch", 3, message_bytes(model, most_rows)})},
      combine_{world.make_exchange({"combine", 4, message_bytes(model, most_rows)})},
      sent_(static_cast<std::size_t>(world.size())),
      served_(static_cast<std::size_t>(model.expert_count())) {
  for (std::int32_t e = 0; e < model.config().experts; ++e) rank_of_.push_back(rank_of_expert(e, model.config().experts, world.size()));
}

void Experts::start(float const* hidden, std::int32_t const* ids, float const* weights, std::int32_t rows) {
  weights_ = weights;
  rows_ = rows;
  for (auto& entries : sent_) entries.clear();
  for (std::int32_t row = 0; row < rows; ++row)
    for (std::size_t slot = 0; slot < k_; ++slot) {
      std::int32_t const expert = ids[static_cast<std::size_t>(row) * k_ + slot];
      sent_[static_cast<std::size_t>(rank_of_[static_cast<std::size_t>(expert)])].push_back(
          {row, static_cast<std::uint16_t>(slot), static_cast<std::uint16_t>(expert)});
    }
  for (comm::Rank to = 0; to < world_.size(); ++to) {
    auto const& entries = sent_[static_cast<std::size_t>(to)];
    if (entries.empty()) continue;
    comm::MessageWriter out{dispatch_->outgoing(to)};
    out.value(std::uint64_t{entries.size()});
    out.array(std::span{entries});
    auto const room = out.reserve<float>(entries.size() * hidden_);
    for (std::size_t i = 0; i < entries.size(); ++i)
      std::copy_n(hidden + static_cast<std::size_t>(entries[i].row) * hidden_, hidden_, room.data() + i * hidden_);
  }
  dispatch_->start();
}

void Experts::finish(shards::Step step, std::int32_t layer, float* out) {
  clock_.enter(Stage::communication);
  shards::finish_or_throw(world_, *dispatch_, deadline_s_, step, layer);
  clock_.enter(Stage::ffn);
  read_dispatch();
  serve(layer);
  clock_.enter(Stage::communication);
  combine_->start();
  shards::finish_or_throw(world_, *combine_, deadline_s_, step, layer);
  clock_.enter(Stage::ffn);
  output_of_.resize(static_cast<std::size_t>(rows_) * k_);
  for (comm::Rank from = 0; from < world_.size(); ++from) {
    auto const& entries = sent_[static_cast<std::size_t>(from)];
    comm::MessageReader in{combine_->incoming(from)};
    auto const outputs = in.array<float>(entries.size() * hidden_);
    for (std::size_t i = 0; i < entries.size(); ++i)
      output_of_[static_cast<std::size_t>(entries[i].row) * k_ + entries[i].gate_slot] = outputs.data() + i * hidden_;
  }
  if (device_.is_host()) return add_outputs(out);
  combined_.assign(static_cast<std::size_t>(rows_) * hidden_, 0.0f);
  add_outputs(combined_.data());
  device_.add(out, combined_on_device_(combined_.data(), combined_.size()), combined_.size());
}

void Experts::add_outputs(float* to) const {
  for (std::size_t row = 0; row < static_cast<std::size_t>(rows_); ++row)
    for (std::size_t slot = 0; slot < k_; ++slot) {
      float const weight = weights_[row * k_ + slot];
      float const* const output = output_of_[row * k_ + slot];
      float* const sum = to + row * hidden_;
      for (std::size_t c = 0; c < hidden_; ++c) sum[c] += weight * output[c];
    }
}

// Sorts all entries by expert, each with its place in the answer.
void Experts::read_dispatch() {
  for (auto& entries : served_) entries.clear();
  for (comm::Rank from = 0; from < world_.size(); ++from) {
    comm::MessageReader in{dispatch_->incoming(from)};
    if (in.empty()) continue;
    auto const count = in.value<std::uint64_t>();
    auto const entries = in.array<Entry>(count);
    auto const hidden = in.array<float>(count * hidden_);
    comm::MessageWriter answer{combine_->outgoing(from)};
    auto const outputs = answer.reserve<float>(count * hidden_);
    for (std::size_t i = 0; i < count; ++i)
      served_[static_cast<std::size_t>(entries[i].expert - model_.first_expert())].push_back(
          {hidden.data() + i * hidden_, outputs.data() + i * hidden_});
  }
}

void Experts::serve(std::int32_t layer) {
  std::size_t rows = 0;
  first_row_.clear();
  for (auto const& entries : served_) {
    first_row_.push_back(rows);
    rows += entries.size();
  }
  auto const inner = static_cast<std::size_t>(model_.config().intermediate);
  inputs_ = in_.resize(rows * hidden_);
  outputs_ = out_.resize(rows * hidden_);
  gate_.resize(rows * inner);
  up_.resize(rows * inner);
  if (!device_.is_host()) return serve_on_device(layer);
  // Many rows: an expert to a thread. Few: one after the other, the threads inside each product.
  bool const many = rows * hidden_ * inner > std::size_t{1} << 22;
#pragma omp parallel for schedule(dynamic, 1) if (many)
  for (std::size_t e = 0; e < served_.size(); ++e) {
    read_inputs(e);
    compute(layer, e);
    write_outputs(e);
  }
}

// All inputs in one copy, all outputs in another.
void Experts::serve_on_device(std::int32_t layer) {
  for (std::size_t e = 0; e < served_.size(); ++e) read_inputs(e);
  in_.send();
  for (std::size_t e = 0; e < served_.size(); ++e) compute(layer, e);
  outputs_ = out_on_host_(out_.data(), out_.size());
  for (std::size_t e = 0; e < served_.size(); ++e) write_outputs(e);
}

void Experts::read_inputs(std::size_t e) {
  float* to = inputs_ + first_row_[e] * hidden_;
  for (Served const& entry : served_[e]) to = std::copy_n(entry.hidden, hidden_, to);
}

void Experts::write_outputs(std::size_t e) {
  float const* from = outputs_ + first_row_[e] * hidden_;
  for (Served const& entry : served_[e]) {
    std::copy_n(from, hidden_, entry.output);
    from += hidden_;
  }
}

void Experts::compute(std::int32_t layer, std::size_t e) {
  auto const& entries = served_[e];
  if (entries.empty()) return;
  auto const inner = static_cast<std::size_t>(model_.config().intermediate);
  ExpertWeights const& weights = placed_.layer(layer).experts[e];
  auto const rows = static_cast<std::int32_t>(entries.size());
  float* const in = in_.data() + first_row_[e] * hidden_;
  float* const out = out_.data() + first_row_[e] * hidden_;
  float* const gate = gate_.data() + first_row_[e] * inner;
  float* const up = up_.data() + first_row_[e] * inner;
  device_.linear(in, weights.w1, gate, rows);
  device_.linear(in, weights.w3, up, rows);
  device_.swiglu(gate, up, entries.size() * inner);
  device_.linear(gate, weights.w2, out, rows);
}

}  // namespace pikv::runtime
