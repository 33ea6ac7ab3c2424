# Compiled by nvcc (PIKV_CUDA) and for the emulation alike.
set(PIKV_CUDA_SOURCES attend.cu attend_coded.cu coded_layout.cu coded_pages.cu memory.cu merge.cu stream.cu)
