#pragma once

#include <cstdint>

#include "kernels/stream.hpp"

namespace pikv::kernels {

/// What the weights of the chosen experts are: their softmax over all experts, or that divided by its sum over the chosen.
enum class GateWeights { of_all, sum_to_one };

/// The gate of a mixture of experts: the k largest logits of each row (ties: smaller id first) and their weights.
///   logits [rows][experts] -> ids [rows][k] descending by logit, weights [rows][k].
/// probability  nullptr, or [rows][experts]: softmax over all experts (for home `router`).
namespace reference {
void gate(float const* logits, std::int32_t rows, std::int32_t experts, std::int32_t k, GateWeights rule, std::int32_t* ids, float* weights,
          float* probability);
}
namespace host {
void gate(float const* logits, std::int32_t rows, std::int32_t experts, std::int32_t k, GateWeights rule, std::int32_t* ids, float* weights,
          float* probability, Stream& stream);
}
namespace cuda {   // device memory; queued, not finished, on return; stream is a CudaStream
void gate(float const* logits, std::int32_t rows, std::int32_t experts, std::int32_t k, GateWeights rule, std::int32_t* ids, float* weights,
          float* probability, Stream& stream);
}  // namespace cuda

}  // namespace pikv::kernels
