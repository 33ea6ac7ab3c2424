#pragma once

#include "runtime/model/checkpoint.hpp"

namespace pikv::runtime {

/// Whether no value is NaN or infinite. Reads the tensor once, at memory speed.
bool all_finite(TensorView const& tensor);

}   // namespace pikv::runtime
