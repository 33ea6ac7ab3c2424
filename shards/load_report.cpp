#include "shards/load_report.hpp"

#include <algorithm>
#include <utility>

namespace pikv::shards {

LoadReport BucketLoads::report() const {
  LoadReport report;
  for (std::size_t b = 0; b < pages_.size(); ++b) {
    report.pages += pages_[b];
    report.reads += reads_[b];
  }
  double const pages = std::max(static_cast<double>(report.pages), 1.0), reads = std::max(static_cast<double>(report.reads), 1.0);
  std::vector<std::pair<double, Bucket>> heavy;   // falling load, then rising bucket
  for (std::size_t b = 0; b < pages_.size(); ++b)
    if (pages_[b] > 0) heavy.emplace_back(-(pages_[b] / pages + static_cast<double>(reads_[b]) / reads), static_cast<Bucket>(b));
  report.buckets = std::min(heavy.size(), most_bucket_loads);
  std::partial_sort(heavy.begin(), heavy.begin() + static_cast<std::ptrdiff_t>(report.buckets), heavy.end());
  for (std::size_t i = 0; i < report.buckets; ++i) {
    auto const b = static_cast<std::size_t>(heavy[i].second);
    report.heaviest[i] = {heavy[i].second, pages_[b], reads_[b]};
  }
  return report;
}

}  // namespace pikv::shards
