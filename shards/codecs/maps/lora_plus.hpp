#pragma once

#include "shards/codecs/moments.hpp"

namespace pikv::shards {

inline constexpr double default_ridge = 1e-3;

/// The least squared error of what is made of x: logits of keys, outputs of values (methods 3.2). W: E[q q^T] of keys, sum W_o W_o^T of values, each
/// with `ridge` tr(W) / d on its diagonal; Omega = W^(1/2); U: top eigenvectors of Omega Cov(x) Omega; encode = U^T Omega, decode = Omega^-1 U.
/// With ridge 0, E (q.x - q.x^)^2 over pairs (q, x), or E|W_o^T (x - x^)|^2, is at rank r the tail of the spectrum: no affine map of rank r has less.
FullMap lora_plus_map(HeadMoments const& moments, Part part, double ridge);
FullMap lora_plus_map(HeadMoments const& moments, Part part);

}  // namespace pikv::shards
