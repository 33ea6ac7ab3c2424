#include "comm/gpus.hpp"

#include <sched.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

namespace pikv::comm {
namespace {

std::vector<int> cores_allowed() {
  std::vector<int> cores;
  cpu_set_t allowed;   // of up to 1024 cores; beyond, the call fails and nothing is checked
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &allowed)) cores.push_back(core);
  return cores;
}

// "mlx5_0:1,mlx5_3:1" names two cards.
std::vector<PciDevice> cards_named(NumaNodes const& numa) {
  std::vector<PciDevice> cards;
  char const* const given = std::getenv("UCX_NET_DEVICES");
  std::istringstream names{given == nullptr ? "" : given};
  for (std::string name; std::getline(names, name, ',');) {
    name = name.substr(0, name.find(':'));
    cards.push_back({name, numa.of_card(name)});
  }
  return cards;
}

nlohmann::json to_json(std::vector<PciDevice> const& devices) {
  auto list = nlohmann::json::array();
  for (PciDevice const& device : devices) list.push_back({device.name, device.numa_node});
  return list;
}

std::vector<PciDevice> from_json(nlohmann::json const& list) {
  std::vector<PciDevice> devices;
  for (auto const& entry : list) devices.push_back({entry[0], entry[1]});
  return devices;
}

}  // namespace

GpuPlacement take_gpus(World& world, Deadline deadline, NumaNodes const& numa) {
  std::vector<PciDevice> gpus;
  for (std::string const& bus_id : gpus_seen()) gpus.push_back({bus_id, numa.of_pci(bus_id)});
  nlohmann::json const mine{{"gpus", to_json(gpus)}, {"nodes", numa.of_cores(cores_allowed())}, {"cards", to_json(cards_named(numa))}};
  std::string const text = mine.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  auto const all = world.all_gather(std::as_bytes(std::span{text}), deadline);
  std::vector<RankSite> sites;
  for (Rank rank = 0; rank < world.size(); ++rank) {
    Bytes const& theirs = all[static_cast<std::size_t>(rank)];
    auto const told = nlohmann::json::parse(std::string_view{reinterpret_cast<char const*>(theirs.data()), theirs.size()});
    sites.push_back({world.host(rank), world.host_name(rank), from_json(told["gpus"]), told["nodes"], from_json(told["cards"])});
  }
  GpuPlacement placement = place_on_gpus(sites);
  if (int const place = placement.gpus[static_cast<std::size_t>(world.rank())]; place >= 0) use_gpu(place);
  return placement;
}

}  // namespace pikv::comm
