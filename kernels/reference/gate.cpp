#include "kernels/gate.hpp"

#include <algorithm>
#include <cmath>

namespace pikv::kernels::reference {
namespace {

bool taken(std::int32_t const* ids, std::int32_t count, std::int32_t id) { return std::find(ids, ids + count, id) != ids + count; }

void softmax(float const* logits, std::int32_t const* ids, std::int32_t count, float* weights) {
  auto const logit = [&](std::int32_t i) { return static_cast<double>(logits[ids ? ids[i] : i]); };
  double top = logit(0), sum = 0;
  for (std::int32_t i = 1; i < count; ++i) top = std::max(top, logit(i));
  for (std::int32_t i = 0; i < count; ++i) sum += std::exp(logit(i) - top);
  for (std::int32_t i = 0; i < count; ++i) weights[i] = static_cast<float>(std::exp(logit(i) - top) / sum);
}

}  // namespace

void gate(float const* logits, std::int32_t rows, std::int32_t experts, std::int32_t k, std::int32_t* ids, float* weights, float* probability) {
  for (std::int32_t row = 0; row < rows; ++row, logits += experts, ids += k, weights += k) {
    for (std::int32_t slot = 0; slot < k; ++slot) {
      std::int32_t best = -1;
      for (std::int32_t id = 0; id < experts; ++id)
        if (!taken(ids, slot, id) && (best < 0 || logits[id] > logits[best])) best = id;
      ids[slot] = best;
    }
    softmax(logits, ids, k, weights);
    if (probability) softmax(logits, nullptr, experts, probability + static_cast<std::size_t>(row) * experts);
  }
}

}  // namespace pikv::kernels::reference
