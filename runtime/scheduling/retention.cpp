#include "runtime/scheduling/retention.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace pikv::runtime {
namespace {

struct Candidate {
  float utility;
  HeldPage const* page;
};

/// A heap with this order gives the lowest utility first, of equal ones the lowest block.
bool goes_later(Candidate const& a, Candidate const& b) { return a.utility != b.utility ? a.utility > b.utility : a.page->block > b.page->block; }

std::int64_t tokens_of(std::vector<HeldPage> const& held, bool pinned) {
  std::int64_t tokens = 0;
  for (HeldPage const& page : held) tokens += page.pinned == pinned ? page.tokens : 0;
  return tokens;
}

/// Unpinned pages of a table, a heap by goes_later.
std::vector<Candidate> candidates(Scheduler& scheduler, std::int32_t table, std::vector<HeldPage> const& held, std::vector<Block> const& blocks,
                                  Budget const& budget) {
  std::vector<float> utilities(blocks.size());
  scheduler.utilities(table, blocks, budget, utilities);
  std::vector<Candidate> candidates;
  candidates.reserve(blocks.size());
  for (HeldPage const& page : held) {
    if (page.pinned) continue;
    float const utility = utilities[candidates.size()];
    if (!(utility >= 0 && utility <= 1)) throw std::logic_error("a scheduler gave a page a utility outside 0 to 1");
    candidates.push_back({utility, &page});
  }
  std::make_heap(candidates.begin(), candidates.end(), goes_later);
  return candidates;
}

}   // namespace

void choose_evictions(Scheduler& scheduler, std::span<std::vector<HeldPage> const> held, Budget const& budget, std::span<PageSummaries const>,
                      RetentionOptions const&, std::vector<Eviction>& out) {
  out.clear();
  auto const fits = [&](std::vector<HeldPage> const& pages) { return tokens_of(pages, false) + tokens_of(pages, true) <= budget.tokens; };
  if (std::all_of(held.begin(), held.end(), fits)) return;

  std::int64_t const pinned = tokens_of(held.front(), true);
  std::vector<std::vector<Block>> blocks(held.size());
  for (std::size_t table = 0; table < held.size(); ++table) {
    if (tokens_of(held[table], true) != pinned) throw std::logic_error("the tables of a layer must have the same pages pinned");
    for (HeldPage const& page : held[table])
      if (!page.pinned) blocks[table].push_back(page.block);
  }
  auto const keep = scheduler.budgets(blocks, {budget.length, std::max<std::int64_t>(0, budget.tokens - pinned)});
  for (std::size_t table = 0; table < held.size(); ++table) {
    std::int64_t excess = tokens_of(held[table], false) - keep.at(table);
    if (excess <= 0) continue;
    auto const index = static_cast<std::int32_t>(table);
    auto heap = candidates(scheduler, index, held[table], blocks[table], budget);
    for (auto end = heap.end(); excess > 0 && end != heap.begin();) {
      std::pop_heap(heap.begin(), end, goes_later);
      --end;
      out.push_back({index, end->page->block});
      excess -= end->page->tokens;
    }
  }
}

}   // namespace pikv::runtime
