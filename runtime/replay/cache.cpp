#include "runtime/replay/cache.hpp"

namespace pikv::runtime::replay {

Score replay(Cache& cache, Reads const& reads) {
  Score score{.reads = static_cast<std::int64_t>(reads.pages.size())};
  for (std::size_t request = 0; request < reads.ends.size(); ++request) {
    bool whole = true;
    for (Page const page : reads.of(request)) {
      bool const hit = cache.read(page);
      whole = whole && hit;
      score.hits += hit;
      score.prefix_hits += whole;
    }
    cache.end_request();
  }
  return score;
}

}   // namespace pikv::runtime::replay
