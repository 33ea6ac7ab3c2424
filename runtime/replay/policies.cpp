#include "runtime/replay/policies.hpp"

#include <algorithm>

#include "runtime/replay/arc.hpp"
#include "runtime/replay/belady.hpp"
#include "runtime/replay/lru.hpp"
#include "runtime/replay/prefix_lru.hpp"
#include "runtime/replay/s3fifo.hpp"
#include "runtime/replay/scheduler_cache.hpp"
#include "runtime/scheduling/schedulers.hpp"

namespace pikv::runtime::replay {
namespace {

using Table = std::map<std::string, Policy, std::less<>>;

template <class Reference>
std::unique_ptr<Cache> make(Reads const& reads, Page capacity) {
  return std::make_unique<Reference>(reads, capacity);
}

auto maker_of(SchedulerEntry const& entry) {
  return [&entry](Reads const& reads, Page capacity) -> std::unique_ptr<Cache> {
    SchedulerMaterial const material{.shape = {}, .summaries = {}, .keep = static_cast<double>(capacity) / std::max(reads.distinct, capacity)};
    return std::make_unique<SchedulerCache>(entry.make(material), reads, capacity, SchedulerCache::usual_batch(capacity));
  };
}

Table make_table() {
  Table table{
      {"lru", {"the page that was read longest ago goes (a linked list)", make<Lru>}},
      {"prefix_lru", {"lru, and of the pages of one request the last goes first: a prefix outlives what follows it", make<PrefixLru>}},
      {"s3fifo", {"S3-FIFO: a small queue for new pages, a large one for those read again", make<S3Fifo>}},
      {"arc", {"ARC: recency and frequency, balanced by what was evicted too early", make<Arc>}},
      {"belady", {"the page whose next read is furthest away goes: the most that is possible, from the future", make<Belady>}},
  };
  for (auto const& [name, entry] : schedulers())
    if (entry.replays) {
      Policy policy{"scheduler of the engine: " + std::string{entry.sentence}, maker_of(entry)};
      if (auto const [at, is_new] = table.try_emplace(std::string{name}, policy); !is_new) table.emplace("scheduler:" + std::string{name}, policy);
    }
  return table;
}

}   // namespace

Table const& policies() {
  static Table const table = make_table();
  return table;
}

}   // namespace pikv::runtime::replay
