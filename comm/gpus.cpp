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

std::string site_as_json(RankSite const& site) {
  nlohmann::json const told{{"gpus", to_json(site.gpus)}, {"nodes", site.core_nodes}, {"cards", to_json(site.cards)}};
  return told.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

RankSite site_in_json(std::string_view text) {
  auto const told = nlohmann::json::parse(text);
  return {.gpus = from_json(told["gpus"]), .core_nodes = told["nodes"], .cards = from_json(told["cards"])};
}

GpuPlacement take_gpus(World& world, Deadline deadline, NumaNodes const& numa) {
  RankSite mine{.core_nodes = numa.of_cores(cores_allowed()), .cards = cards_named(numa)};
  for (std::string const& bus_id : gpus_seen()) mine.gpus.push_back({bus_id, numa.of_pci(bus_id)});
  std::string const text = site_as_json(mine);
  auto const all = world.all_gather(std::as_bytes(std::span{text}), deadline);
  std::vector<RankSite> sites;
  for (Rank rank = 0; rank < world.size(); ++rank) {
    Bytes const& theirs = all[static_cast<std::size_t>(rank)];
    RankSite& site = sites.emplace_back(site_in_json({reinterpret_cast<char const*>(theirs.data()), theirs.size()}));
    site.host = world.host(rank);
    site.host_name = world.host_name(rank);
  }
  GpuPlacement placement = place_on_gpus(sites);
  if (int const place = placement.gpus[static_cast<std::size_t>(world.rank())]; place >= 0) use_gpu(place);
  return placement;
}

}  // namespace pikv::comm
