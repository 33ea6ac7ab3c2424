#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/stream.hpp"
#include "kernels/cuda/warp.cuh"
#include "kernels/gate.hpp"

namespace pikv::kernels::cuda {
namespace {

constexpr int warps = 4;

/// A logit and its expert. The order of choice is total, so that "the next" needs no list of those taken. A logit that is no number comes last.
struct Candidate {
  float logit;
  int id;
  __device__ bool before(Candidate other) const { return logit > other.logit || (logit == other.logit && id < other.id); }
};

__device__ Candidate candidate(float const* logits, int id) { return {logits[id] == logits[id] ? logits[id] : -INFINITY, id}; }

__device__ Candidate first_of_warp(Candidate mine) {
  for (int step = warp / 2; step > 0; step /= 2) {
    Candidate const other{__shfl_xor_sync(all_lanes, mine.logit, step), __shfl_xor_sync(all_lanes, mine.id, step)};
    if (other.before(mine)) mine = other;
  }
  return mine;
}

/// One warp per row; k passes over its logits, from the cache after the first. Bytes: 4 per logit, 8 per choice, 4 per probability if asked.
/// Operations: k + 2 per logit. Limit: the latency of k passes of five shuffles each, and the launch.
__global__ void __launch_bounds__(warps* warp)
    choose(float const* logits, int rows, int experts, int k, bool sum_to_one, int* ids, float* weights, float* probability) {
  int const row = static_cast<int>(blockIdx.x) * warps + static_cast<int>(threadIdx.x) / warp, lane = static_cast<int>(threadIdx.x) % warp;
  if (row >= rows) return;
  logits += static_cast<std::size_t>(row) * experts;
  ids += static_cast<std::size_t>(row) * k;
  weights += static_cast<std::size_t>(row) * k;
  float top = 0, of_chosen = 0, of_all = 0;
  Candidate last{INFINITY, -1};
  for (int slot = 0; slot < k; ++slot) {
    Candidate best{-INFINITY, experts};
    for (int id = lane; id < experts; id += warp)
      if (Candidate const here = candidate(logits, id); last.before(here) && here.before(best)) best = here;
    last = first_of_warp(best);
    if (slot == 0) top = last.logit;
    float const exponential = expf(last.logit - top);
    of_chosen += exponential;
    if (lane != slot % warp) continue;
    ids[slot] = last.id;
    weights[slot] = exponential;
  }
  for (int id = lane; id < experts; id += warp) of_all += expf(logits[id] - top);
  of_all = sum_of_warp(of_all);
  for (int slot = lane; slot < k; slot += warp) weights[slot] /= sum_to_one ? of_chosen : of_all;   // each lane those that it wrote
  if (!probability) return;
  for (int id = lane; id < experts; id += warp) probability[static_cast<std::size_t>(row) * experts + id] = expf(logits[id] - top) / of_all;
}

}  // namespace

void gate(float const* logits, std::int32_t rows, std::int32_t experts, std::int32_t k, GateWeights rule, std::int32_t* ids, float* weights,
          float* probability, Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (rows == 0) return;
  launch(choose, static_cast<unsigned>((rows + warps - 1) / warps), warps * warp, 0, queue, "cuda::gate", logits, rows, experts, k,
         rule == GateWeights::sum_to_one, ids, weights, probability);
}

}  // namespace pikv::kernels::cuda
