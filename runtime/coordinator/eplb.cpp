#include "runtime/coordinator/eplb.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <stdexcept>

namespace pikv::runtime {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// Items in the order of the packs: pack p has those at p n / packs and on.
std::vector<int> pack(std::vector<double> const& load, int packs) {
  int const n = static_cast<int>(load.size()), room = n / packs;
  std::vector<int> order(at(n));
  std::iota(order.begin(), order.end(), 0);
  if (room == 1) return order;
  std::ranges::stable_sort(order, [&](int a, int b) { return load[at(a)] > load[at(b)]; });
  std::vector<double> packed(at(packs), 0.0);
  std::vector<int> items(at(packs), 0), placed(at(n));
  for (int const item : order) {
    int best = -1;
    for (int p = 0; p < packs; ++p)
      if (items[at(p)] < room && (best < 0 || packed[at(p)] < packed[at(best)])) best = p;
    placed[at(best * room + items[at(best)]++)] = item;
    packed[at(best)] += load[at(item)];
  }
  return placed;
}

/// The shard of each of `slots` slots.
std::vector<int> replicate(std::vector<double> const& load, int slots, std::vector<int>& count) {
  std::vector<int> shard(load.size());
  std::iota(shard.begin(), shard.end(), 0);
  count.assign(load.size(), 1);
  while (static_cast<int>(shard.size()) < slots) {
    std::size_t hottest = 0;
    for (std::size_t i = 1; i < load.size(); ++i)
      if (load[i] / count[i] > load[hottest] / count[hottest]) hottest = i;
    shard.push_back(static_cast<int>(hottest));
    ++count[hottest];
  }
  return shard;
}

}  // namespace

std::vector<int> eplb(std::span<double const> load, EplbShape shape) {
  int const shards = static_cast<int>(load.size());
  if (shape.groups % shape.nodes != 0) shape.groups = shape.nodes = 1;
  auto const [slots, groups, nodes, gpus] = shape;
  if (shards == 0 || shards % groups != 0 || gpus % nodes != 0 || slots % gpus != 0 || slots < shards)
    throw std::logic_error("eplb: shards, groups, nodes, GPUs and slots do not divide");

  int const group_shards = shards / groups, node_groups = groups / nodes, node_shards = shards / nodes;
  std::vector<double> group_load(at(groups), 0.0);
  for (int i = 0; i < shards; ++i) group_load[at(i / group_shards)] += load[at(i)];
  std::vector<int> const group_order = pack(group_load, nodes);

  std::vector<int> held;
  for (int node = 0; node < nodes; ++node) {
    std::vector<int> mine;   // shards of this node's groups
    for (int g = 0; g < node_groups; ++g)
      for (int i = 0; i < group_shards; ++i) mine.push_back(group_order[at(node * node_groups + g)] * group_shards + i);
    std::vector<double> node_load(at(node_shards));
    for (int i = 0; i < node_shards; ++i) node_load[at(i)] = load[at(mine[at(i)])];
    std::vector<int> count;
    std::vector<int> const shard = replicate(node_load, slots / nodes, count);
    std::vector<double> slot_load;
    for (int const s : shard) slot_load.push_back(node_load[at(s)] / count[at(s)]);
    for (int const slot : pack(slot_load, gpus / nodes)) held.push_back(mine[at(shard[at(slot)])]);
  }
  return held;
}

}  // namespace pikv::runtime
