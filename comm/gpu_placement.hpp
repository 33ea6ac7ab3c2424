#pragma once

#include <span>
#include <string>
#include <vector>

#include "comm/rank.hpp"

namespace pikv::comm {

/// A device on the PCI bus and the NUMA node it hangs on; -1: the kernel does not say, or the host has one node.
struct PciDevice {
  std::string name;   // a GPU's bus id, "0000:65:00.0"; a card's name, "mlx5_0"
  int numa_node = -1;
  bool operator==(PciDevice const&) const = default;
};

/// What one rank sees of where it runs.
struct RankSite {
  int host = 0;
  std::string host_name = {};
  std::vector<PciDevice> gpus = {};    // in CUDA's order, which CUDA_VISIBLE_DEVICES has made
  std::vector<int> core_nodes = {};    // NUMA nodes of the cores it may use
  std::vector<PciDevice> cards = {};   // that UCX_NET_DEVICES names; none: UCX chooses near the memory it moves
};

struct GpuPlacement {
  std::vector<int> gpus;                 // [rank] place among those the rank sees; -1: it sees none
  std::string why_shared;                // why not every rank has a GPU of its own, for the end of a sentence; empty: each has
  std::vector<std::string> complaints;   // a sentence per host and kind: what crosses NUMA nodes or is shared, and the remedy
  bool any() const;                      // some rank has one
};

/// What is best for each host as a whole: ranks share GPUs as evenly as can be, of these choices as few as can be have it on another node than their
/// cores, and of these each comes as close as can be to the GPU of its turn there. The same on every rank.
GpuPlacement place_on_gpus(std::span<RankSite const> sites);

}  // namespace pikv::comm
