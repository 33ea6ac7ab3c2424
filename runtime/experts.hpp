#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
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
/// The home weights the outputs and adds them in gate-slot order, so the sum does not depend on where experts live. Nothing is dropped.
class Experts {
 public:
  Experts(comm::World& world, Model const& model, PlacedWeights const& weights, std::int32_t most_rows, double deadline_s, StageClock& clock);

  /// hidden [rows][hidden]; ids, weights [rows][k] as the gate chose, all in host memory. ids and weights stay untouched until finish().
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
  struct Served {   // one entry of a peer's message
    float const* hidden;
    float* output;
  };
  void read_dispatch();
  void serve(std::int32_t layer);
  void serve_on_device(std::int32_t layer);
  void read_inputs(std::size_t e);
  void compute(std::int32_t layer, std::size_t e);
  void write_outputs(std::size_t e);
  void add_outputs(float* to) const;

  comm::World& world_;
  Model const& model_;
  PlacedWeights const& placed_;
  kernels::Device& device_;
  double deadline_s_;
  StageClock& clock_;
  std::size_t hidden_, k_;
  std::unique_ptr<comm::Exchange> dispatch_, combine_;
  std::vector<int> rank_of_;                       // by expert
  std::vector<std::vector<Entry>> sent_;           // by rank
  std::vector<std::vector<Served>> served_;        // by local expert
  std::vector<std::size_t> first_row_;             // by local expert, in the next six
  kernels::Filled<float> in_{device_};   // [served rows][hidden or intermediate], expert after expert
  kernels::Buffer<float> out_{device_}, gate_{device_}, up_{device_};
  kernels::OnHost<float> out_on_host_{device_};
  float* inputs_ = nullptr;   // of in_ and out_, where the processor has them
  float const* outputs_ = nullptr;
  std::vector<float> combined_;   // [rows][hidden]
  kernels::OnDevice<float> combined_on_device_{device_};
  std::vector<float const*> output_of_;            // [rows][k], in the combine messages
  float const* weights_ = nullptr;
  std::int32_t rows_ = 0;
};

}  // namespace pikv::runtime
