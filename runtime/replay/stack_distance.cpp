#include "runtime/replay/stack_distance.hpp"

#include <algorithm>
#include <numeric>

namespace pikv::runtime::replay {
namespace {

/// Marks at the moments at which a page was last read, counted from the front in O(log n).
class Marks {
 public:
  explicit Marks(std::size_t moments) : sums_(moments + 1) {}
  void add(std::size_t moment, int mark) {
    for (std::size_t i = moment + 1; i < sums_.size(); i += i & -i) sums_[i] += mark;
  }
  std::int32_t before(std::size_t moment) const {
    std::int32_t sum = 0;
    for (std::size_t i = moment; i > 0; i -= i & -i) sum += sums_[i];
    return sum;
  }

 private:
  std::vector<std::int32_t> sums_;
};

constexpr std::size_t never = static_cast<std::size_t>(-1);

class Distances {
 public:
  explicit Distances(Reads const& reads)
      : marks_{reads.pages.size()}, last_(static_cast<std::size_t>(reads.distinct), never), cold_{reads.distinct} {}

  /// Of the read that comes next; that of a first read is the number of all pages.
  Page next(Page page) {
    auto& last = last_[static_cast<std::size_t>(page)];
    Page distance = cold_;
    if (last != never) {
      distance = marks_.before(now_) - marks_.before(last + 1);
      marks_.add(last, -1);
    }
    marks_.add(now_, 1);
    last = now_++;
    return distance;
  }

 private:
  Marks marks_;
  std::vector<std::size_t> last_;   // by page
  Page cold_;
  std::size_t now_ = 0;
};

void count(std::vector<std::int64_t>& hits, Page distance) {
  if (auto const least = static_cast<std::size_t>(distance) + 1; least < hits.size()) ++hits[least];
}

}   // namespace

LruCurve lru_curve(Reads const& reads) {
  std::vector<std::int64_t> const none(static_cast<std::size_t>(reads.distinct) + 1);
  LruCurve curve{none, none};
  Distances distances{reads};
  for (std::size_t request = 0; request < reads.ends.size(); ++request) {
    Page furthest = 0;
    for (Page const page : reads.of(request)) {
      Page const distance = distances.next(page);
      furthest = std::max(furthest, distance);
      count(curve.hits, distance);
      count(curve.prefix_hits, furthest);
    }
  }
  std::partial_sum(curve.hits.begin(), curve.hits.end(), curve.hits.begin());
  std::partial_sum(curve.prefix_hits.begin(), curve.prefix_hits.end(), curve.prefix_hits.begin());
  return curve;
}

}   // namespace pikv::runtime::replay
