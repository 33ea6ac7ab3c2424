#include "kernels/gate.hpp"

#include <algorithm>
#include <cmath>

namespace pikv::kernels::reference {
namespace {

bool taken(std::int32_t const* ids, std::int32_t count, std::int32_t id) { return std::find(ids, ids + count, id) != ids + count; }

}   // namespace

void gate(float const* logits, std::int32_t rows, std::int32_t experts, std::int32_t k, GateWeights rule, std::int32_t* ids, float* weights,
          float* probability) {
  for (std::int32_t row = 0; row < rows; ++row, logits += experts, ids += k, weights += k) {
    for (std::int32_t slot = 0; slot < k; ++slot) {
      std::int32_t best = -1;
      for (std::int32_t id = 0; id < experts; ++id)
        if (!taken(ids, slot, id) && (best < 0 || logits[id] > logits[best])) best = id;
      ids[slot] = best;
    }
    auto const exponential = [&](std::int32_t id) { return std::exp(static_cast<double>(logits[id]) - static_cast<double>(logits[ids[0]])); };
    double of_all = 0, of_chosen = 0;
    for (std::int32_t id = 0; id < experts; ++id) of_all += exponential(id);
    for (std::int32_t slot = 0; slot < k; ++slot) of_chosen += exponential(ids[slot]);
    double const whole = rule == GateWeights::of_all ? of_all : of_chosen;
    for (std::int32_t slot = 0; slot < k; ++slot) weights[slot] = static_cast<float>(exponential(ids[slot]) / whole);
    if (!probability) continue;
    for (std::int32_t id = 0; id < experts; ++id)
      probability[static_cast<std::size_t>(row) * experts + id] = static_cast<float>(exponential(id) / of_all);
  }
}

}   // namespace pikv::kernels::reference
