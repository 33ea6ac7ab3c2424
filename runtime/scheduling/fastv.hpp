#pragma once

#include <memory>

#include "runtime/scheduling/schedulers.hpp"

namespace pikv::runtime {

/// Which queries' attention ranks a token.
enum class RankingRows {
  all,    // the mean over all that could see it, the paper's rule
  last,   // that of the newest, FastV's own fast path
};

struct FastVOptions {
  std::int32_t full_layers = 2;   // K: the first that keep everything
  RankingRows rows = RankingRows::all;
};

/// FastV (methods 3.6, arXiv 2403.06764): the first K layers keep everything; the last of them ranks tokens by the attention they receive, mean over heads and
/// query rows, and every layer after it keeps the same best `keep` of them. Page masses of every row come with exact attention, so `all` costs nothing more. Unlike FastV,
/// prompt rows still read every token (nothing goes before the prompt is in), and what is generated is ranked as the prompt is. u = mean
/// attention received, over the highest; `last`: that of the last query. State: 24 bytes a page, in one layer.
std::unique_ptr<Scheduler> make_fastv(SchedulerMaterial const& material, FastVOptions const& options = {});

/// Of all layers' tokens, the share that stays when the later layers keep `keep`: (K + (L - K) keep) / L.
double fastv_share(double keep, std::int32_t layers, std::int32_t full_layers = 2);

}   // namespace pikv::runtime
