#pragma once

#include <memory>
#include <span>
#include <vector>

#include "runtime/scheduling/snapkv.hpp"

namespace pikv::runtime {

/// How AdaKV keeps a head from losing everything to the others.
enum class Safeguard {
  protect_best,   // first each head's best max(1, floor(alpha * mean)), then the best of the rest over all heads: kvpress
  blend,   // (1 - alpha) * what the best over all heads give the head + alpha * mean, by largest remainder: the paper, without its lost entries
};

/// How many of the scores each head may keep when `total` of them may stay, mean = total / heads (methods 4.7). Sums to `total` exactly, or to all
/// there are; equal scores: the later page first, then the lower head. With `blend` a head may be granted more than it has.
std::vector<std::int64_t> adakv_budgets(std::span<std::vector<float> const> scores, std::int64_t total, double alpha, Safeguard safeguard);

struct AdaKvOptions {
  SnapKvOptions base;
  double alpha = .2;
  Safeguard safeguard = Safeguard::protect_best;
};

/// AdaKV (methods 4.7, arXiv 2407.11550): SnapKV's scores, and a budget per KV head that lets heads whose attention is spread out keep more than
/// those whose attention falls on few pages. State: as snapkv.
std::unique_ptr<Scheduler> make_adakv(SchedulerMaterial const& material, AdaKvOptions const& options = {});

}   // namespace pikv::runtime
