#pragma once

#include <cstdint>

#include "kernels/stream.hpp"

namespace pikv::kernels {

/// Mixtral's gate: the k largest logits of each row (ties: smaller id first) and their renormalised softmax.
///   logits [rows][experts] -> ids [rows][k] descending by logit, weights [rows][k], sum 1.
/// probability  nullptr, or [rows][experts]: softmax over all experts (for home `router`).
namespace reference {
void gate(float const* logits, std::int32_t rows, std::int32_t experts, std::int32_t k, std::int32_t* ids, float* weights, float* probability);
}
namespace host {
void gate(float const* logits, std::int32_t rows, std::int32_t experts, std::int32_t k, std::int32_t* ids, float* weights, float* probability,
          Stream& stream);
}

}  // namespace pikv::kernels
