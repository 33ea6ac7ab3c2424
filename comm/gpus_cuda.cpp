#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <array>

#include "comm/error.hpp"
#include "comm/gpus.hpp"

namespace pikv::comm {

std::vector<std::string> gpus_seen() {
  std::vector<std::string> bus_ids;
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) return bus_ids;   // why: gpus_found()
  for (int gpu = 0; gpu < count; ++gpu) {
    std::array<char, 32> id{};
    bool const told = cudaDeviceGetPCIBusId(id.data(), static_cast<int>(id.size()), gpu) == cudaSuccess;
    bus_ids.push_back(told ? id.data() : fmt::format("GPU {}", gpu));
  }
  return bus_ids;
}

void use_gpu(int place) {
  if (cudaError_t const result = cudaSetDevice(place); result != cudaSuccess)
    throw RunError(fmt::format("CUDA could not use GPU {} of those this process sees: {}; see whether nvidia-smi shows it busy or in exclusive mode", place,
                               cudaGetErrorString(result)));
}

}  // namespace pikv::comm
