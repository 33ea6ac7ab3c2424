#pragma once

#include <cstdint>
#include <span>

#include "kernels/summary.hpp"
#include "shards/block.hpp"
#include "shards/kv_expert.hpp"

namespace pikv::runtime {

/// How much of the softmax lies where, judged from summaries alone (methods 2.9). The mass of a set of keys is A = sum of exp(q.k / sqrt(head_dim));
/// all masses are natural logarithms, so they neither overflow nor vanish; -inf is no mass.

/// For one query and one page table, log A of each listed page by head, [pages][q_heads], out of n = its tokens:
///   low   log n + mean logit   <= log A, by Jensen's inequality; also the estimate of it
///   high  log n + upper bound  >= log A, by the page's box; up to the rounding of an fp32 sum
///   q  [q_heads][head_dim], as in kernels/summary.hpp; every listed page is known
void low_masses(kernels::SummaryView const& summaries, std::span<shards::Block const> pages, std::span<float const> q, std::span<float> out);
void high_masses(kernels::SummaryView const& summaries, std::span<shards::Block const> pages, std::span<float const> q, std::span<float> out);

/// log of the sum of the masses of each expert's pages by head, [experts][q_heads]. Summed page by page: a mean over all pages of an expert would
/// average the channels that rotate fast away.
///   masses  [pages][q_heads]     expert_of  by block
void expert_masses(std::span<float const> masses, std::span<shards::Block const> pages, std::span<shards::KvExpert const> expert_of,
                   std::int32_t q_heads, std::span<float> out);

/// What a router sees, z [experts]: the log of the share of the softmax that an expert is estimated to hold, mean over heads; that is what recall
/// counts. (The largest head's share, which methods 2.9 names, finds a little less on a real model; without shares the head of the largest logits
/// decides.)
void affinity(std::span<float const> expert_masses, std::int32_t q_heads, std::span<float> z);

}  // namespace pikv::runtime
