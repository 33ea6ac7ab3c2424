#pragma once

#include <cstdint>

#include "runtime/replay/reads.hpp"

namespace pikv::runtime::replay {

/// A cache of a fixed number of pages under one policy. A page that is read and not there takes a place, another page's if all are taken: attention
/// needs the page, so no policy here lets one pass by.
class Cache {
 public:
  virtual ~Cache() = default;
  /// True: the page was there. Now it is.
  virtual bool read(Page page) = 0;
  virtual void end_request() {}
};

struct Score {
  std::int64_t reads = 0, hits = 0;
  std::int64_t prefix_hits = 0;   // hits before the request's first miss: all that an engine saves which reuses prefixes only
  std::int64_t misses() const { return reads - hits; }
};

/// Reads everything through an empty cache: each page of a request when its turn comes, so a page may go before the same request gets to it.
Score replay(Cache& cache, Reads const& reads);

}   // namespace pikv::runtime::replay
