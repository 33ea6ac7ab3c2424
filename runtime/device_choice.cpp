#include "runtime/device_choice.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "comm/device_memory.hpp"
#include "comm/error.hpp"
#include "runtime/agree.hpp"
#include "runtime/setup.hpp"

namespace pikv::runtime {

namespace {

std::string why_host(comm::World const& world, kernels::PageLayout const& pages) {
  if (auto const gpus = comm::gpus_found(); gpus && gpus->count == 0) return gpus->trouble.empty() ? "no GPU was found" : "no GPU can be used: " + gpus->trouble;
  if (std::string const why = world.why_no_device_memory(); !why.empty()) return "its transport has no GPU memory: " + why;
  if (std::int32_t const most = kernels::cuda::most_head_dim(pages.dtype); pages.head_dim > most)
    return fmt::format("head_dim {} is more than a GPU attends in {} pages, {}", pages.head_dim, kernels::name_of(pages.dtype), most);
  return {};
}

}  // namespace

DeviceChoice choose_device(comm::World& world, MakeDevice make, kernels::PageLayout const& pages, double deadline_s) {
  if (make == nullptr) return {};
  if (auto const none = world.first_trouble(why_host(world, pages), world.in(deadline_s)))
    return {nullptr, fmt::format("the step runs on the host; rank {}: {}", none->rank, none->text)};
  DeviceChoice choice{nullptr, "pages lie and the step runs on the GPU of each rank"};
  agree(world, deadline_s, [&] {
    try {
      choice.device = make();
    } catch (std::runtime_error const& error) {
      throw RunError(fmt::format("the GPU could not be used ({}); {}", error.what(), host_instead));
    }
  });
  return choice;
}

std::uint64_t share_of_memory(comm::World& world, std::string_view device, std::uint64_t free_bytes, std::uint64_t reserved, double deadline_s) {
  auto const mine = std::as_bytes(std::span{device});
  auto const all = world.all_gather(mine, world.in(deadline_s));
  std::uint64_t sharing = 0;
  for (comm::Rank rank = 0; rank < world.size(); ++rank) {
    comm::Bytes const& theirs = all[static_cast<std::size_t>(rank)];
    if (world.host(rank) == world.host(world.rank()) && std::ranges::equal(theirs, mine)) ++sharing;
  }
  std::uint64_t const share = free_bytes / sharing;
  return share - std::min(share, reserved);
}

void say_gpus_unused(comm::World const& world) {
  auto const gpus = comm::gpus_found();
  if (world.rank() == 0 && gpus && gpus->count > 0) spdlog::info("this command runs on the host; {} not used", counted(gpus->count, "GPU"));
}

}  // namespace pikv::runtime
