#include "runtime/read_choice.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace pikv::runtime {

ReadChoice::ReadChoice(ReadSettings settings, shards::StoreOptions const& store) : settings_{std::move(settings)}, store_{store} {}

void ReadChoice::choose(Row const&, float const*, std::vector<Block>&) { throw std::logic_error("routed attention: not yet"); }

void ReadChoice::choose_more(PageSummaries const&, shards::PageMasses const&, float const*, std::span<Block const>, std::vector<Block>&) {
  throw std::logic_error("certified attention: not yet");
}

void ReadChoice::select(Scheduler& scheduler, std::int32_t table, std::span<float const> q, Block window, double keep, std::vector<Block>& blocks) {
  loose_.clear();
  for (Block const block : blocks)
    if (block > 0 && block < window && block != blocks.back()) loose_.push_back(block);
  score_.resize(loose_.size());
  scheduler.select(table, loose_, q, score_);
  keep_best(window, static_cast<std::size_t>(std::ceil(keep * static_cast<double>(blocks.size()))), score_, blocks);
}

// Of the loose pages the best, so that there are `most` with the pinned ones, and all those of score infinity.
void ReadChoice::keep_best(Block, std::size_t most, std::span<float const> score, std::vector<Block>& blocks) {
  std::size_t const pinned = blocks.size() - loose_.size();
  std::size_t const taken = std::min(loose_.size(), most > pinned ? most - pinned : 0);
  order_.resize(loose_.size());
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  std::ranges::sort(order_, [&](std::size_t a, std::size_t b) { return score[a] != score[b] ? score[a] > score[b] : a < b; });
  auto const last = std::find_if(order_.begin() + static_cast<std::ptrdiff_t>(taken), order_.end(), [&](std::size_t i) { return !std::isinf(score[i]); });
  order_.erase(last, order_.end());
  std::ranges::sort(order_);
  std::erase_if(blocks, [&](Block block) {
    auto const at = std::ranges::lower_bound(loose_, block);
    if (at == loose_.end() || *at != block) return false;
    return !std::ranges::binary_search(order_, static_cast<std::size_t>(at - loose_.begin()));
  });
}

}  // namespace pikv::runtime
