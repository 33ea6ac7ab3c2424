#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "comm/world.hpp"
#include "kernels/device.hpp"

namespace pikv::runtime {

/// What a GPU's troubles end with.
inline constexpr char const* host_instead = "set CUDA_VISIBLE_DEVICES to nothing to decode on the host";

/// Makes the device of a rank; null where this build has none but the host.
using MakeDevice = std::unique_ptr<kernels::Device> (*)();

/// Where the pages of a job lie and its steps run.
struct DeviceChoice {
  std::unique_ptr<kernels::Device> device;   // null: the host
  std::string sentence;                      // for the log; empty: there was nothing to choose
};

/// Collective: a GPU on every rank, or the host on every rank, and then why. `pages`: their type and head_dim, which a GPU's attention has limits for.
DeviceChoice choose_device(comm::World& world, MakeDevice make, kernels::PageLayout const& pages, double deadline_s);

/// Collective: of a device's free memory what a rank may take, `reserved` bytes of its own put aside. Ranks of a host that name the same device (identity(),
/// any bytes) share it alike.
std::uint64_t share_of_memory(comm::World& world, std::string_view device, std::uint64_t free_bytes, std::uint64_t reserved, double deadline_s);

/// Says once, where GPUs were found, that this command leaves them alone.
void say_gpus_unused(comm::World const& world);

}  // namespace pikv::runtime
