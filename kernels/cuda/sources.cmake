# Compiled by nvcc (PIKV_CUDA) and for the emulation alike.
set(PIKV_CUDA_SOURCES attend.cu memory.cu merge.cu stream.cu)
