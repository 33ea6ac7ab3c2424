#include "comm/error.hpp"
#include "comm/gpus.hpp"

namespace pikv::comm {

std::vector<std::string> gpus_seen() { return {}; }

void use_gpu(int) { throw InputError("this build uses no GPU, since it has no CUDA; rebuild with -DPIKV_CUDA=ON"); }

}  // namespace pikv::comm
