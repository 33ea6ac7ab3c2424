#pragma once

#include <cuda_runtime_api.h>

#include <tuple>
#include <type_traits>
#include <utility>

namespace pikv::kernels::emulation {

/// Runs call(arguments) as every thread of every block; the threads may read the `argument_bytes` there.
cudaError_t run_grid(cudaLaunchConfig_t const& config, void const* kernel, void (*call)(void const*), void const* arguments,
                     std::size_t argument_bytes);

}  // namespace pikv::kernels::emulation

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(cudaLaunchConfig_t const* config, void (*kernel)(Parameters...), Arguments&&... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "a kernel takes its arguments by value, as bytes");
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> arguments;
  } const call{kernel, {std::forward<Arguments>(arguments)...}};
  auto const run = [](void const* at) {
    auto const& of = *static_cast<Call const*>(at);
    std::apply(of.kernel, of.arguments);
  };
  return pikv::kernels::emulation::run_grid(*config, reinterpret_cast<void const*>(kernel), run, &call, sizeof(call));
}
