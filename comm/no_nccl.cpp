#include "comm/error.hpp"
#include "comm/nccl.hpp"

namespace pikv::comm {

bool nccl_built_in() { return false; }

std::string nccl_version() { return "not built in"; }

std::string why_no_nccl_windows() { return "this build is without NCCL; rebuild with -DPIKV_CUDA=ON -DPIKV_NCCL=ON where NCCL is installed"; }

DeviceMemory& nccl_memory() { return gpu_memory(); }

std::unique_ptr<NcclDevice> make_nccl_device() {
  throw InputError("nothing can go over NCCL, which this build is without; rebuild with -DPIKV_CUDA=ON -DPIKV_NCCL=ON where NCCL is installed");
}

}  // namespace pikv::comm
