#pragma once

#include <string>

#include "runtime/calibration/calibration.hpp"

namespace pikv::runtime {

/// What `pikv calibrate` prints: held-out errors of every family at a quarter, half and three quarters of head_dim, over all layers and heads: lost
/// share of |K|^2 + |V|^2, of each alone, and of what is made of them: (q.k)^2 over all pairs of a query and a key, |W_o v|^2.
std::string error_table(Calibration const& calibration);

}   // namespace pikv::runtime
