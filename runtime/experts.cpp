#include "runtime/experts.hpp"

#include <algorithm>
#include <numeric>

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
      served_(static_cast<std::size_t>(world.size())),
      came_(static_cast<std::size_t>(world.size())),
      came_at_(static_cast<std::size_t>(world.size())) {
  for (std::int32_t e = 0; e < model.config().experts; ++e) rank_of_.push_back(rank_of_expert(e, model.config().experts, world.size()));
}

void Experts::start(float const* hidden, std::int32_t const* ids, float const* weights, std::int32_t rows) {
  hidden_rows_ = hidden;
  weights_ = weights;
  rows_ = rows;
  for (auto& entries : sent_) entries.clear();
  for (std::int32_t row = 0; row < rows; ++row)
    for (std::size_t slot = 0; slot < k_; ++slot) {
      std::int32_t const expert = ids[static_cast<std::size_t>(row) * k_ + slot];
      sent_to(rank_of_[static_cast<std::size_t>(expert)]).push_back({row, static_cast<std::uint16_t>(slot), static_cast<std::uint16_t>(expert)});
    }
  leaving_.clear();
  rooms_.clear();
  for (comm::Rank to = 0; to < world_.size(); ++to) {
    auto const& entries = sent_to(to);
    if (entries.empty() || is_me(to)) continue;
    comm::MessageWriter out{dispatch_->outgoing(to)};
    out.value(std::uint64_t{entries.size()});
    out.array(std::span{entries});
    rooms_.push_back(out.reserve<float>(entries.size() * hidden_));
    for (Entry const& entry : entries) leaving_.push_back(hidden + static_cast<std::size_t>(entry.row) * hidden_);
  }
  take_out();
  dispatch_->start();
}

void Experts::finish(shards::Step step, std::int32_t layer, float* out) {
  clock_.enter(Stage::communication);
  shards::finish_or_throw(world_, *dispatch_, deadline_s_, step, layer);
  clock_.enter(Stage::ffn);
  read_dispatch();
  gather_inputs();
  compute(layer);
  write_outputs();
  clock_.enter(Stage::communication);
  combine_->start();
  shards::finish_or_throw(world_, *combine_, deadline_s_, step, layer);
  clock_.enter(Stage::ffn);
  read_outputs();
  device_.add_weighted(out, weights_, outputs_.data(), rows_, static_cast<std::int32_t>(k_), static_cast<std::int32_t>(hidden_));
}

void Experts::read_dispatch() {
  for (comm::Rank from = 0; from < world_.size(); ++from) {
    auto const rank = static_cast<std::size_t>(from);
    served_[rank] = {};
    came_[rank] = {};
    if (is_me(from)) served_[rank] = sent_[rank];
    comm::MessageReader in{dispatch_->incoming(from)};
    if (in.empty()) continue;
    auto const count = in.value<std::uint64_t>();
    served_[rank] = in.array<Entry>(count);
    came_[rank] = in.array<float>(count * hidden_);
  }
  bring_in(came_hidden_);
}

// Sorts the rows of all entries by expert.
void Experts::gather_inputs() {
  first_row_.assign(static_cast<std::size_t>(model_.expert_count()) + 1, 0);
  auto const local = [&](Entry const& entry) { return static_cast<std::size_t>(entry.expert - model_.first_expert()); };
  for (auto const& entries : served_)
    for (Entry const& entry : entries) ++first_row_[local(entry) + 1];
  std::partial_sum(first_row_.begin(), first_row_.end(), first_row_.begin());
  next_row_ = first_row_;
  inputs_.resize(first_row_.back());
  row_of_.clear();
  for (comm::Rank from = 0; from < world_.size(); ++from) {
    auto const rank = static_cast<std::size_t>(from);
    for (std::size_t i = 0; Entry const& entry : served_[rank]) {
      std::size_t const row = row_of_.emplace_back(next_row_[local(entry)]++);
      inputs_[row] = is_me(from) ? hidden_rows_ + static_cast<std::size_t>(entry.row) * hidden_ : came_at_[rank] + i++ * hidden_;
    }
  }
  device_.gather_rows(inputs_, static_cast<std::int32_t>(hidden_), in_.resize(inputs_.size() * hidden_));
}

void Experts::compute(std::int32_t layer) {
  auto const inner = static_cast<std::size_t>(model_.config().intermediate);
  std::size_t const experts = first_row_.size() - 1, rows = first_row_.back();
  out_.resize(rows * hidden_);
  gate_.resize(rows * inner);
  up_.resize(rows * inner);
  // Many rows: an expert to a thread. Few: one after the other, the threads inside each product.
  bool const many = device_.is_host() && rows * hidden_ * inner > std::size_t{1} << 22;
#pragma omp parallel for schedule(dynamic, 1) if (many)
  for (std::size_t e = 0; e < experts; ++e) compute(layer, e);
}

void Experts::compute(std::int32_t layer, std::size_t e) {
  std::size_t const first = first_row_[e], count = first_row_[e + 1] - first;
  if (count == 0) return;
  auto const inner = static_cast<std::size_t>(model_.config().intermediate);
  ExpertWeights const& weights = placed_.layer(layer).experts[e];
  auto const rows = static_cast<std::int32_t>(count);
  float* const in = in_.data() + first * hidden_;
  float* const out = out_.data() + first * hidden_;
  float* const gate = gate_.data() + first * inner;
  float* const up = up_.data() + first * inner;
  device_.linear(in, weights.w1, gate, rows);
  device_.linear(in, weights.w3, up, rows);
  device_.swiglu(gate, up, count * inner);
  device_.linear(gate, weights.w2, out, rows);
}

// Those of this rank's rows stay where they are.
void Experts::write_outputs() {
  outputs_.resize(static_cast<std::size_t>(rows_) * k_);
  leaving_.clear();
  rooms_.clear();
  auto row = row_of_.begin();
  for (comm::Rank from = 0; from < world_.size(); ++from) {
    auto const& entries = served_[static_cast<std::size_t>(from)];
    if (!is_me(from) && !entries.empty()) rooms_.push_back(comm::MessageWriter{combine_->outgoing(from)}.reserve<float>(entries.size() * hidden_));
    for (Entry const& entry : entries) {
      float const* const output = out_.data() + *row++ * hidden_;
      if (is_me(from))
        output_of(entry) = output;
      else
        leaving_.push_back(output);
    }
  }
  take_out();
}

void Experts::read_outputs() {
  for (comm::Rank from = 0; from < world_.size(); ++from) {
    std::size_t const floats = is_me(from) ? 0 : sent_to(from).size() * hidden_;
    came_[static_cast<std::size_t>(from)] = comm::MessageReader{combine_->incoming(from)}.array<float>(floats);
  }
  bring_in(came_outputs_);
  for (comm::Rank from = 0; from < world_.size(); ++from) {
    if (is_me(from)) continue;
    float const* output = came_at_[static_cast<std::size_t>(from)];
    for (Entry const& entry : sent_to(from)) {
      output_of(entry) = output;
      output += hidden_;
    }
  }
}

// leaving_ into rooms_: on the host straight, else by one copy.
void Experts::take_out() {
  if (leaving_.empty()) return;
  auto const n = static_cast<std::int32_t>(hidden_);
  if (device_.is_host()) {
    for (std::size_t first = 0; auto const& room : rooms_) {
      std::size_t const rows = room.size() / hidden_;
      device_.gather_rows(std::span{leaving_}.subspan(first, rows), n, room.data());
      first += rows;
    }
    return;
  }
  std::size_t const floats = leaving_.size() * hidden_;
  device_.gather_rows(leaving_, n, leaving_rows_.resize(floats));
  float const* from = leaving_on_host_(leaving_rows_.data(), floats);
  for (auto const& room : rooms_) {
    std::copy_n(from, room.size(), room.data());
    from += room.size();
  }
}

// came_, to be found at came_at_: on the host where it lies, else by one copy.
void Experts::bring_in(kernels::Filled<float>& on_device) {
  if (device_.is_host()) {
    std::ranges::transform(came_, came_at_.begin(), [](auto const& floats) { return floats.data(); });
    return;
  }
  std::size_t total = 0;
  for (auto const& floats : came_) total += floats.size();
  if (total == 0) return;
  float* to = on_device.resize(total);
  for (auto const& floats : came_) to = std::ranges::copy(floats, to).out;
  float const* at = on_device.send();
  for (std::size_t rank = 0; rank < came_.size(); ++rank) {
    came_at_[rank] = at;
    at += came_[rank].size();
  }
}

}  // namespace pikv::runtime
