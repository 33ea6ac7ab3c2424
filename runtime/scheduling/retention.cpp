#include "runtime/scheduling/retention.hpp"

#include <algorithm>
#include <stdexcept>

#include "runtime/scheduling/redundancy.hpp"

namespace pikv::runtime {
namespace {

std::int64_t tokens_of(std::vector<HeldPage> const& held, bool pinned) {
  std::int64_t tokens = 0;
  for (HeldPage const& page : held) tokens += page.pinned == pinned ? page.tokens : 0;
  return tokens;
}

/// The unpinned pages of a table, from which the one to go first is taken first.
class Queue {
 public:
  Queue(Scheduler& scheduler, std::int32_t table, std::vector<HeldPage> const& held, std::vector<Block> const& unpinned, Budget const& budget) {
    std::vector<float> utilities(unpinned.size());
    scheduler.utilities(table, unpinned, budget, utilities);
    for (HeldPage const& page : held) {
      if (page.pinned) continue;
      float const utility = utilities[heap_.size()];
      if (!(utility >= 0 && utility <= 1)) throw std::logic_error("a scheduler gave a page a utility outside 0 to 1");
      heap_.push_back({utility * page.weight, page.block, page.tokens});
    }
    std::make_heap(heap_.begin(), heap_.end(), goes_later);
  }

  bool empty() const { return heap_.empty(); }
  Candidate take() {
    std::pop_heap(heap_.begin(), heap_.end(), goes_later);
    Candidate const first = heap_.back();
    heap_.pop_back();
    return first;
  }
  std::vector<Candidate> const& rest() const { return heap_; }

 private:
  static bool goes_later(Candidate const& a, Candidate const& b) { return a.utility != b.utility ? a.utility > b.utility : a.block > b.block; }

  std::vector<Candidate> heap_;
};

std::vector<Candidate> lowest(Queue& queue, std::int64_t excess) {
  std::vector<Candidate> lowest;
  for (; excess > 0 && !queue.empty(); excess -= lowest.back().tokens) lowest.push_back(queue.take());
  return lowest;
}

/// Twice as many candidates as must go, the rest stay.
std::vector<Block> least_missed(Queue& queue, std::vector<HeldPage> const& held, std::int64_t excess, PageSummaries const& summaries, double gamma) {
  auto candidates = lowest(queue, excess);
  for (std::size_t more = candidates.size(); more > 0 && !queue.empty(); --more) candidates.push_back(queue.take());
  std::vector<Block> staying;
  for (HeldPage const& page : held)
    if (page.pinned) staying.push_back(page.block);
  for (Candidate const& page : queue.rest()) staying.push_back(page.block);
  return choose_redundant(candidates, staying, summaries, gamma, excess);
}

}   // namespace

void choose_evictions(Scheduler& scheduler, std::span<std::vector<HeldPage> const> held, Budget const& budget,
                      std::span<PageSummaries const> summaries, RetentionOptions const& options, std::vector<Eviction>& out) {
  out.clear();
  auto const fits = [&](std::vector<HeldPage> const& pages) { return tokens_of(pages, false) + tokens_of(pages, true) <= budget.tokens; };
  if (std::all_of(held.begin(), held.end(), fits)) return;
  if (options.redundancy > 0 && summaries.size() != held.size()) throw std::logic_error("redundancy needs the summaries of every table");

  std::int64_t left = budget.tokens * std::ssize(held);
  std::vector<std::vector<Block>> unpinned(held.size());
  for (std::size_t table = 0; table < held.size(); ++table) {
    left -= tokens_of(held[table], true);
    for (HeldPage const& page : held[table])
      if (!page.pinned) unpinned[table].push_back(page.block);
  }
  auto const keep = scheduler.budgets(unpinned, {budget.length, std::max<std::int64_t>(0, left) / std::ssize(held)});
  for (std::size_t table = 0; table < held.size(); ++table) {
    std::int64_t const excess = tokens_of(held[table], false) - keep.at(table);
    if (excess <= 0) continue;
    auto const index = static_cast<std::int32_t>(table);
    Queue queue{scheduler, index, held[table], unpinned[table], budget};
    if (options.redundancy > 0) {
      for (Block const block : least_missed(queue, held[table], excess, summaries[table], options.redundancy)) out.push_back({index, block});
    } else {
      for (Candidate const& page : lowest(queue, excess)) out.push_back({index, page.block});
    }
  }
}

}   // namespace pikv::runtime
