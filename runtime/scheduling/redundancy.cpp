#include "runtime/scheduling/redundancy.hpp"

#include <cmath>
#include <numeric>
#include <optional>

namespace pikv::runtime {
namespace {

using shards::Block;

/// Pages that are still there, candidates first.
class Group {
 public:
  Group(std::span<Candidate const> candidates, std::span<Block const> staying, PageSummaries const& summaries) {
    for (Candidate const& candidate : candidates) add(candidate.block, summaries);
    for (Block const block : staying) add(block, summaries);
    for (std::size_t i = 0; i < candidates.size(); ++i) find_nearest(i);
  }

  bool has(std::size_t page) const { return pages_[page].there; }
  double likeness(std::size_t candidate) const { return pages_[candidate].likeness; }

  void remove(std::size_t gone, std::size_t candidates) {
    pages_[gone].there = false;
    for (std::size_t i = 0; i < candidates; ++i)
      if (pages_[i].there && pages_[i].nearest == gone) find_nearest(i);
  }

 private:
  struct Page {
    std::span<float const> mean;   // empty: unknown
    double length = 0;
    bool there = true;
    double likeness = 0;
    std::optional<std::size_t> nearest;
  };

  void add(Block block, PageSummaries const& summaries) {
    Page page;
    if (summaries.knows(block)) {
      auto const view = summaries.view();
      std::size_t const width = static_cast<std::size_t>(view.kv_heads) * static_cast<std::size_t>(view.head_dim);
      page.mean = {view.mean + static_cast<std::size_t>(block) * width, width};
      page.length = std::sqrt(std::inner_product(page.mean.begin(), page.mean.end(), page.mean.begin(), 0.0));
    }
    pages_.push_back(page);
  }

  void find_nearest(std::size_t candidate) {
    Page& page = pages_[candidate];
    page.likeness = 0;
    page.nearest.reset();
    for (std::size_t i = 0; i < pages_.size(); ++i) {
      Page const& other = pages_[i];
      if (i == candidate || !other.there || !(page.length * other.length > 0)) continue;
      double const cosine = std::inner_product(page.mean.begin(), page.mean.end(), other.mean.begin(), 0.0) / (page.length * other.length);
      if (cosine <= page.likeness) continue;
      page.likeness = std::min(1.0, cosine);
      page.nearest = i;
    }
  }

  std::vector<Page> pages_;
};

}   // namespace

std::vector<Block> choose_redundant(std::span<Candidate const> candidates, std::span<Block const> staying, PageSummaries const& summaries,
                                    double gamma, std::int64_t excess) {
  Group group{candidates, staying, summaries};
  std::vector<Block> going;
  while (excess > 0 && going.size() < candidates.size()) {
    std::optional<std::size_t> lowest;
    double score = 0;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      double const worth = candidates[i].utility * (1 - gamma * group.likeness(i));
      if (!group.has(i) || (lowest && worth >= score)) continue;
      lowest = i;
      score = worth;
    }
    going.push_back(candidates[*lowest].block);
    excess -= candidates[*lowest].tokens;
    group.remove(*lowest, candidates.size());
  }
  return going;
}

}   // namespace pikv::runtime
