# How all our code is compiled: C++20, optimised by default, every warning an error. nvcc gets flags of its own.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")

if(PIKV_CUDA)
  find_program(PIKV_NVCC nvcc HINTS ENV CUDA_HOME /usr/local/cuda PATH_SUFFIXES bin)
  if(NOT PIKV_NVCC)
    message(FATAL_ERROR "PIKV_CUDA=ON needs nvcc, which is neither in PATH nor in /usr/local/cuda/bin; install the CUDA toolkit or set CUDA_HOME")
  endif()
  set(CMAKE_CUDA_COMPILER ${PIKV_NVCC})
  set(CMAKE_CUDA_ARCHITECTURES 80 90 100)
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)   # CMake 3.25 knows nvcc up to C++17
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()

add_library(pikv_flags INTERFACE)
target_compile_options(pikv_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Werror>
  $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr -Werror=all-warnings>)
target_include_directories(pikv_flags INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
# A sanitized library is compiled in a few large pieces: what its sources share is instrumented once. The default build, file by file, shows
# that every source includes what it uses and warns of nothing. A source whose names clash with another's of its library is listed with
# SKIP_UNITY_BUILD_INCLUSION.
if(PIKV_SANITIZE)
  set(CMAKE_UNITY_BUILD ON)
  set(CMAKE_UNITY_BUILD_BATCH_SIZE 16)
  target_compile_options(pikv_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-w>)
endif()
if(PIKV_SANITIZE STREQUAL "address+undefined")
  target_compile_options(pikv_flags INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer>)
  target_link_options(pikv_flags INTERFACE -fsanitize=address,undefined)
elseif(PIKV_SANITIZE STREQUAL "thread")
  target_compile_options(pikv_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=thread -fno-omit-frame-pointer>)
  target_link_options(pikv_flags INTERFACE -fsanitize=thread)
elseif(PIKV_SANITIZE)
  message(FATAL_ERROR "PIKV_SANITIZE=${PIKV_SANITIZE} is unknown; choose address+undefined or thread")
endif()

# pikv_sanitize_heap_alone(source...): every access of the heap and of globals is checked, locals and arithmetic are not. What Eigen makes of a
# few lines compiles for a minute with all checks; a dot product whose sums are locals runs at half its speed.
function(pikv_sanitize_heap_alone)
  if(PIKV_SANITIZE STREQUAL "address+undefined")
    set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_OPTIONS -fno-sanitize=undefined -fno-sanitize-address-use-after-scope --param=asan-stack=0)
  endif()
endfunction()
