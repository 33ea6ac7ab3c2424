# Compiled by nvcc (PIKV_CUDA) and for the emulation alike.
set(PIKV_CUDA_SOURCES append.cu attend.cu attend_coded.cu checksum.cu coded_layout.cu coded_pages.cu device.cu gate.cu host_memory.cu linear.cu memory.cu merge.cu norm.cu pages.cu rotary.cu
  rows.cu stream.cu summary.cu swiglu.cu)
