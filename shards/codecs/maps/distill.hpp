#pragma once

#include <span>

#include "shards/codecs/maps/attention_sample.hpp"
#include "shards/codecs/moments.hpp"

namespace pikv::shards {

/// What a map is fitted to, and what it is judged by, never the same windows.
struct DistillSample {
  std::span<AttentionWindow const> fit, held_out;
  std::int32_t exact = 4;   // first tokens of each window that are always read as they are
};

struct Distilled {
  RankMap map;
  double loss_before = 0, loss = 0;   // held out, of `start` and of `map`: never more
};

/// Maps of one rank that keep attention rather than keys and values (methods 3.7), from a start of that rank, lora_plus's. Deterministic.
///
/// Keys: Adam on key_loss.hpp's loss, 200 steps of rate 1e-3, all queries of one head in one window a step, in turn; the best on held-out windows.
RankMap distill_start(FullMap const& map, std::int32_t rank);
Distilled distill_keys(DistillSample const& sample, HeadMoments const& moments, RankMap const& start);
/// Values: what is summed is x = sum_t P_t (v_t - mean) over the tokens that are not exact, and its map may be any: the least
/// E |W_o^T (x - x^)|^2 / |o|^2 is had by 3.2's rule with E[x x^T / |o|^2] in place of the covariance (a tenth of which, scaled, is added, since queries
/// are few). Loss: |o - o^|^2 / |o|^2 as above, with exact P.
Distilled distill_values(DistillSample const& sample, HeadMoments const& moments, RankMap const& start);

}  // namespace pikv::shards
