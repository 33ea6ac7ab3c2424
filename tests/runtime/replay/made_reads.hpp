#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/replay/cache.hpp"
#include "runtime/replay/request_trace.hpp"
#include "runtime/replay/workload.hpp"
#include "shards/mix.hpp"

namespace pikv::runtime::replay {

inline Reads reads_of(std::vector<std::vector<int>> const& requests) {
  ReadsBuilder<int> builder;
  for (auto const& request : requests) {
    for (int const page : request) builder.read(page);
    builder.end_request();
  }
  return std::move(builder).take();
}

/// One request of these pages.
inline Reads one_request(std::vector<int> const& pages) { return reads_of({pages}); }

/// `n` reads of few pages, some much more often than others, in requests of 1 to 8.
inline Reads random_reads(std::uint64_t seed, int n, int pages) {
  std::vector<std::vector<int>> requests(1);
  for (int i = 0; i < n; ++i) {
    auto const a = shards::mix(seed ^ shards::mix(static_cast<std::uint64_t>(i))), b = shards::mix(a);
    requests.back().push_back(static_cast<int>(b % (1 + a % static_cast<std::uint64_t>(pages))));
    if (requests.back().size() > b % 8) requests.emplace_back();
  }
  return reads_of(requests);
}

/// Half of the reads favour low numbers of 1000, half a window of 50 that moves on by one every 20 reads. Integers alone, so the same everywhere.
inline Reads mixed_reads() {
  std::vector<int> pages;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    auto const a = shards::mix(i), b = shards::mix(i ^ (std::uint64_t{1} << 32));
    pages.push_back(static_cast<int>(a % 2 == 0 ? b % (1 + a / 2 % 1000) : 1000 + i / 20 + b % 50));
  }
  return one_request(pages);
}

/// Independent reads of `pages` pages, page i with a probability ~ i^-zipf.
inline Reads zipf_reads(int n, int pages, double zipf) {
  std::vector<double> sums;
  for (int i = 1; i <= pages; ++i) sums.push_back((sums.empty() ? 0 : sums.back()) + std::pow(i, -zipf));
  std::vector<int> read;
  for (int i = 0; i < n; ++i) {
    double const share = static_cast<double>(shards::mix(static_cast<std::uint64_t>(i)) >> 11) * 0x1p-53 * sums.back();
    read.push_back(static_cast<int>(std::upper_bound(sums.begin(), sums.end(), share) - sums.begin()));
  }
  return one_request(read);
}

inline std::string generated_text(Workload const& workload) {
  std::string text;
  generate(workload, [&](std::string_view line) { text += std::string{line} + "\n"; });
  return text;
}

inline Reads generated_reads(Workload const& workload) {
  std::istringstream in{generated_text(workload)};
  return read_requests(in, "made");
}

/// Which reads hit.
inline std::vector<bool> hits_of(Cache& cache, Reads const& reads) {
  std::vector<bool> hits;
  for (std::size_t request = 0; request < reads.ends.size(); ++request) {
    for (Page const page : reads.of(request)) hits.push_back(cache.read(page));
    cache.end_request();
  }
  return hits;
}

}   // namespace pikv::runtime::replay
