#pragma once

// Stands for the toolkit's header where a .cu file is compiled for the emulation; types and the declarations of the runtime are the toolkit's.
#include <cuda_runtime_api.h>
#include <vector_functions.h>

#include "kernels/emulation/device.cuh"
#include "kernels/emulation/launch.cuh"
