#pragma once

#include <memory>
#include <string>

#include "comm/nccl_device.hpp"

namespace pikv::comm {

/// False: rebuild with -DPIKV_CUDA=ON -DPIKV_NCCL=ON where NCCL is installed.
bool nccl_built_in();
/// Of the library that is loaded, "2.28.9"; or "not built in". Needs no GPU and no driver.
std::string nccl_version();
/// Why there are no windows (NcclDevice::open_window), for the end of a sentence; empty: there are. Needs no GPU and no driver.
std::string why_no_nccl_windows();
/// Memory of this process's GPU that can be made a window: as gpu_memory(), but allocated by NCCL. No other library is handed its addresses.
DeviceMemory& nccl_memory();
/// On the GPU that is this process's when it is made.
std::unique_ptr<NcclDevice> make_nccl_device();

}  // namespace pikv::comm
