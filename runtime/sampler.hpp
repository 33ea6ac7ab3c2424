#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pikv::runtime {

struct SamplingOptions {
  float temperature = 0;    // 0: greedy (largest logit, ties: smallest id)
  std::int32_t top_k = 0;   // 0: off
  float top_p = 1;          // 1: off; one token is always kept
  std::uint64_t seed = 0;
};

/// Draws the next token of one request. Random numbers are counter-based: a function of (seed, request, index) alone, so that they
/// depend neither on ranks nor on batch. Order: temperature, top-k, top-p (the smallest set whose probability reaches p), renormalise,
/// draw by inverse transform over descending probability (ties: smaller id first). Logits that are NaN or infinite throw RunError.
class Sampler {
 public:
  explicit Sampler(std::int32_t vocab);   // keeps scratch: no allocation per token
  std::int32_t sample(std::span<float const> logits, SamplingOptions const& options, std::uint64_t request, std::uint64_t index);   // logits [vocab]

 private:
  std::int32_t draw(SamplingOptions const& options, double uniform);

  std::vector<std::int32_t> order_;
  std::vector<double> weight_;   // by id: exp((logit - largest) / temperature)
};

/// Uniform in [0, 1): mix of (seed, request, index), 53 bits.
double counter_uniform(std::uint64_t seed, std::uint64_t request, std::uint64_t index);

}   // namespace pikv::runtime
