#include "comm/nccl_connect.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "comm/nccl.hpp"

namespace pikv::comm {

void together(World& world, double patience_s, FunctionRef<void()> local) {
  std::string trouble;
  try {
    local();
  } catch (Error const& error) {
    trouble = error.what();
  }
  auto const first = world.first_trouble(trouble, world.in(patience_s));
  if (first) throw NotConnected(fmt::format("rank {} on {}: {}", first->rank, world.host_name(first->rank), first->text));
}

std::shared_ptr<NcclSession> connect_over_nccl(World& world, std::unique_ptr<NcclDevice>& device, double patience_s) {
  double const of_others = 4 * patience_s;   // each of the waits of a rank that connects may take that long
  NcclId id{};
  together(world, of_others, [&] {
    if (device == nullptr) device = make_nccl_device();
    if (world.rank() == 0) id = device->make_id();
  });
  auto const ids = world.all_gather(id, world.in(of_others));
  if (ids[0].size() != id.size()) throw RunError("rank 0 sent no NCCL id");
  std::ranges::copy(ids[0], id.begin());
  std::shared_ptr<NcclSession> session;
  together(world, of_others, [&] { session = std::make_shared<NcclSession>(world, *device, id, patience_s); });
  return session;
}

}  // namespace pikv::comm
