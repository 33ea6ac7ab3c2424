#pragma once

#include "runtime/calibration/calibration.hpp"
#include "runtime/calibration/moment_sums.hpp"
#include "runtime/model/model.hpp"

namespace pikv::runtime {

/// sum over the query heads of KV head `head` of W_o^h W_o^h^T [d][d], from the output projection [hidden][q_heads * d].
std::vector<double> output_gram(kernels::MatrixView const& o, std::int32_t q_heads, std::int32_t kv_heads, std::int32_t head);

/// Moments of both splits, every family of maps from those for calibration, and what each loses of those held out. Sets these of `data`.
void make_maps(Model const& model, MomentSums const& calibration, MomentSums const& held_out, CalibrationData& data);

}   // namespace pikv::runtime
