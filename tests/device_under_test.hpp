#pragma once

#include "comm/device_memory.hpp"
#include "kernels/cuda/device.hpp"

namespace pikv::test {

/// Of the device that tests of pages and steps on a device run on (kernels::cuda::make_device): the emulated GPU, whose memory no processor can touch, where
/// a test is linked with device_emulated.cpp and the emulated kernels; the current GPU with device_native.cpp, which skips all tests where there is none.
comm::DeviceMemory& device_memory();

}  // namespace pikv::test
