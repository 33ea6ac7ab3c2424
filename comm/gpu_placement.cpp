#include "comm/gpu_placement.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <optional>

#include "comm/assignment.hpp"

namespace pikv::comm {
namespace {

/// The ranks of one host, by turn.
using Ranks = std::vector<Rank>;

std::string counted_ranks(std::size_t ranks) { return fmt::format("{} rank{}", ranks, ranks == 1 ? "" : "s"); }

class Placing {
 public:
  explicit Placing(std::span<RankSite const> sites) : sites_{sites}, placement_{std::vector<int>(sites.size(), -1), {}, {}} {
    for (Rank rank = 0; rank < static_cast<Rank>(sites.size()); ++rank) hosts_[at(rank).host].push_back(rank);
  }

  GpuPlacement run() {
    for (auto const& [host, ranks] : hosts_) choose(ranks);
    for (auto const& [host, ranks] : hosts_) look_for_sharing(ranks);
    if (placement_.any()) look_for_ranks_without();
    for (auto const& [host, ranks] : hosts_) {
      complain(ranks, cores_apart(),
               "bind a rank to the cores of its GPU's node (srun --gpus-per-task=1 --gpu-bind=closest, or mpirun --map-by numa)");
      complain(ranks, card_apart(), "name a card of the GPU's node, or leave UCX_NET_DEVICES to slurm/bind-rank.sh");
    }
    return std::move(placement_);
  }

 private:
  RankSite const& at(Rank rank) const { return sites_[static_cast<std::size_t>(rank)]; }
  int& chosen(Rank rank) { return placement_.gpus[static_cast<std::size_t>(rank)]; }
  PciDevice const* gpu(Rank rank) {
    return chosen(rank) < 0 ? nullptr : &at(rank).gpus[static_cast<std::size_t>(chosen(rank))];
  }

  // One column per GPU and taker. What counts most: how many others share a GPU, then whether it hangs on a node of the rank's cores, then the turn.
  void choose(Ranks const& ranks) {
    Ranks able;
    std::ranges::copy_if(ranks, std::back_inserter(able), [&](Rank rank) { return !at(rank).gpus.empty(); });
    std::map<std::string, std::size_t> number;   // of a GPU, by name
    for (Rank const rank : able)
      for (PciDevice const& one : at(rank).gpus) number.try_emplace(one.name, number.size());
    constexpr std::int64_t unseen = std::int64_t{1} << 50, shared = std::int64_t{1} << 28, apart = std::int64_t{1} << 16;
    std::vector<std::vector<std::int64_t>> costs(able.size(), std::vector<std::int64_t>(number.size() * able.size(), unseen));
    for (std::size_t turn = 0; turn < able.size(); ++turn) {
      auto const& seen = at(able[turn]).gpus;
      for (std::size_t place = 0; place < seen.size(); ++place) {
        auto const out_of_turn = static_cast<std::int64_t>(place) - static_cast<std::int64_t>(turn % seen.size());
        std::int64_t const own = (cores_apart()(at(able[turn]), seen[place]) ? apart : 0) + out_of_turn * out_of_turn;
        for (std::size_t taker = 0; taker < able.size(); ++taker)
          costs[turn][number[seen[place].name] * able.size() + taker] = own + shared * static_cast<std::int64_t>(taker);
      }
    }
    auto const columns = assign(costs);
    for (std::size_t turn = 0; turn < able.size(); ++turn) {
      auto const is_chosen = [&](PciDevice const& one) { return number[one.name] == static_cast<std::size_t>(columns[turn]) / able.size(); };
      auto const& seen = at(able[turn]).gpus;
      chosen(able[turn]) = static_cast<int>(std::ranges::find_if(seen, is_chosen) - seen.begin());
    }
  }

  void look_for_sharing(Ranks const& ranks) {
    std::map<std::string, Ranks> by_gpu;
    for (Rank const rank : ranks)
      if (auto const* const one = gpu(rank)) by_gpu[one->name].push_back(rank);
    auto const shared = std::ranges::find_if(by_gpu, [](auto const& entry) { return entry.second.size() > 1; });
    if (shared == by_gpu.end()) return;
    auto const& name = at(ranks[0]).host_name;
    std::size_t with_one = 0;
    for (auto const& [gpu, takers] : by_gpu) with_one += takers.size();
    placement_.complaints.push_back(fmt::format("{} of {} share {} GPU{} (ranks {} the one at {}); start a rank per GPU, as --ntasks-per-node says",
                                                counted_ranks(with_one), name, by_gpu.size(), by_gpu.size() == 1 ? "" : "s",
                                                fmt::join(shared->second, ", "), shared->first));
    say_shared(fmt::format("ranks {} of {} share a GPU", fmt::join(shared->second, ", "), name));
  }

  void look_for_ranks_without() {
    auto const none = std::ranges::find(placement_.gpus, -1);
    if (none == placement_.gpus.end()) return;
    auto const rank = static_cast<Rank>(none - placement_.gpus.begin());
    auto const without = static_cast<std::size_t>(std::ranges::count(placement_.gpus, -1));
    auto const& name = at(rank).host_name;
    placement_.complaints.push_back(fmt::format("{} of {} see{} no GPU, the first of them rank {} on {}; look at nvidia-smi and CUDA_VISIBLE_DEVICES there",
                                                without, counted_ranks(sites_.size()), without == 1 ? "s" : "", rank, name));
    say_shared(fmt::format("rank {} on {} sees no GPU", rank, name));
  }

  void say_shared(std::string why) {
    if (placement_.why_shared.empty()) placement_.why_shared = std::move(why);
  }

  /// What is wrong with a rank, for after "its GPU at .. (NUMA node ..)"; nothing: all is well.
  using Judge = std::function<std::optional<std::string>(RankSite const&, PciDevice const& gpu)>;

  static Judge cores_apart() {
    return [](RankSite const& site, PciDevice const& gpu) -> std::optional<std::string> {
      if (gpu.numa_node < 0 || site.core_nodes.empty() || std::ranges::find(site.core_nodes, gpu.numa_node) != site.core_nodes.end()) return std::nullopt;
      return fmt::format("its cores on node {}", fmt::join(site.core_nodes, ", "));
    };
  }

  static Judge card_apart() {
    return [](RankSite const& site, PciDevice const& gpu) -> std::optional<std::string> {
      auto const away = [&](PciDevice const& card) { return card.numa_node >= 0 && card.numa_node != gpu.numa_node; };
      if (site.cards.empty() || !std::ranges::all_of(site.cards, away)) return std::nullopt;
      return fmt::format("its network card {} on node {}", site.cards[0].name, site.cards[0].numa_node);
    };
  }

  void complain(Ranks const& ranks, Judge const& judge, char const* remedy) {
    std::size_t others = 0;
    std::string first;
    for (Rank const rank : ranks) {
      auto const* const one = gpu(rank);
      if (one == nullptr || one->numa_node < 0) continue;
      auto const wrong = judge(at(rank), *one);
      if (!wrong) continue;
      if (first.empty()) first = fmt::format("rank {} on {} has its GPU at {} on NUMA node {} and {}", rank, at(rank).host_name, one->name, one->numa_node, *wrong);
      else ++others;
    }
    if (first.empty()) return;
    std::string const likewise = others == 0 ? "" : fmt::format(", and so it is with {} more there", counted_ranks(others));
    placement_.complaints.push_back(fmt::format("{}{}, so copies cross between nodes; {}", first, likewise, remedy));
  }

  std::span<RankSite const> sites_;
  std::map<int, Ranks> hosts_;
  GpuPlacement placement_;
};

}  // namespace

bool GpuPlacement::any() const {
  return std::ranges::any_of(gpus, [](int gpu) { return gpu >= 0; });
}

GpuPlacement place_on_gpus(std::span<RankSite const> sites) { return Placing{sites}.run(); }

}  // namespace pikv::comm
