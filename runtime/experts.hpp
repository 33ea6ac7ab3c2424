#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "comm/world.hpp"
#include "kernels/buffer.hpp"
#include "runtime/model/placed_weights.hpp"
#include "runtime/stage_clock.hpp"
#include "shards/epoch.hpp"

namespace pikv::runtime {

/// The two exchanges of a layer's feed-forward: hidden states go to the ranks of their experts, unweighted outputs come back.
///   dispatch  {entries} 8 B; {row, gate slot, expert} 8 B each; hidden fp32 [entries][hidden]
///   combine   outputs fp32 [entries][hidden], in the order of dispatch
/// A rank sends itself nothing: rows for its own experts stay in the device's memory. The home weights the outputs and adds them in gate-slot order, so
/// the sum does not depend on where experts live. Nothing is dropped.
class Experts {
 public:
  Experts(comm::World& world, Model const& model, PlacedWeights const& weights, std::int32_t most_rows, double deadline_s, StageClock& clock);

  /// hidden [rows][hidden] and weights [rows][k], in the device's memory; ids [rows][k], in the processor's: as the gate chose. hidden and weights stay
  /// untouched until finish().
  void start(float const* hidden, std::int32_t const* ids, float const* weights, std::int32_t rows);
  /// Serves everyone's rows with this rank's experts, then out [rows][hidden], in the device's memory, += sum over gate slots of weight * output.
  void finish(shards::Step step, std::int32_t layer, float* out);

  comm::Exchange const& dispatch() const { return *dispatch_; }
  comm::Exchange const& combine() const { return *combine_; }

 private:
  struct Entry {
    std::int32_t row = 0;
    std::uint16_t gate_slot = 0, expert = 0;
  };
  bool is_me(comm::Rank rank) const { return rank == world_.rank(); }
  std::vector<Entry>& sent_to(comm::Rank rank) { return sent_[static_cast<std::size_t>(rank)]; }
  float const*& output_of(Entry const& entry) { return outputs_[static_cast<std::size_t>(entry.row) * k_ + entry.gate_slot]; }
  void read_dispatch();
  void gather_inputs();
  void compute(std::int32_t layer);
  void compute(std::int32_t layer, std::size_t e);
  void write_outputs();
  void read_outputs();
  void take_out();
  void bring_in(kernels::Filled<float>& on_device);

  comm::World& world_;
  Model const& model_;
  PlacedWeights const& placed_;
  kernels::Device& device_;
  double deadline_s_;
  StageClock& clock_;
  std::size_t hidden_, k_;
  std::unique_ptr<comm::Exchange> dispatch_, combine_;
  std::vector<int> rank_of_;                        // by expert
  std::vector<std::vector<Entry>> sent_;            // by rank; to this one too, in no message
  std::vector<std::span<Entry const>> served_;      // by rank, what it sent
  std::vector<std::size_t> first_row_, next_row_;   // by local expert, in in_; one past the last has the end
  std::vector<std::size_t> row_of_;                 // of in_, for each served entry, rank after rank

  // Rows by where they begin in the device's memory: leave for rooms in messages, came in messages, are an expert's inputs, are outputs [rows][k] to add.
  std::vector<float const*> leaving_, inputs_, outputs_;
  std::vector<std::span<float>> rooms_;
  std::vector<std::span<float const>> came_;        // by rank
  std::vector<float const*> came_at_;

  kernels::Buffer<float> in_{device_}, out_{device_}, gate_{device_}, up_{device_};   // [served rows][hidden or intermediate], expert after expert
  kernels::Buffer<float> leaving_rows_{device_};
  kernels::OnHost<float> leaving_on_host_{device_};
  kernels::Filled<float> came_hidden_{device_}, came_outputs_{device_};
  float const *hidden_rows_ = nullptr, *weights_ = nullptr;
  std::int32_t rows_ = 0;
};

}  // namespace pikv::runtime
