#pragma once

#include <memory>

#include "runtime/scheduling/schedulers.hpp"

namespace pikv::runtime {

struct DuoOptions {
  std::int32_t sinks = 64, recent = 256;   // tokens that a streaming head keeps
  std::int32_t window = 64;                // queries at the end of the prompt that tell the heads apart
};

/// DuoAttention (methods 4.8, arXiv 2410.10819) without its offline training. A KV head's score is the share of attention that the last `window`
/// queries of the prompt gave to pages outside the first `sinks` and the last `recent` tokens, mean over these queries and the heads of the group:
/// what a streaming head would lose. All heads keep sinks and recent tokens; the rest of the layer's budget goes to the heads by falling score, each
/// keeping all it has (a retrieval head) before the next gets any, so that the last served keeps a longer recent part. While the prompt is being
/// read, and where the budget does not even hold sinks and recent tokens, heads share alike. u = 1 for sinks, else end of page / length: the newer,
/// the higher. State: 16 bytes a table, none a page.
std::unique_ptr<Scheduler> make_duo(SchedulerMaterial const& material, DuoOptions const& options = {});

}   // namespace pikv::runtime
