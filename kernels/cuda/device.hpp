#pragma once

#include <memory>

#include "kernels/device.hpp"

namespace pikv::kernels::cuda {

/// The GPU that is current in this thread, with a stream of its own. Throws std::runtime_error where there is none.
std::unique_ptr<Device> make_device();

}  // namespace pikv::kernels::cuda
