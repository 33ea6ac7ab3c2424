#pragma once

#include <cstdint>

#include "runtime/replay/cache.hpp"
#include "runtime/replay/page_lists.hpp"

namespace pikv::runtime::replay {

/// ARC (Megiddo and Modha, FAST 2003, figure 4): pages read once lately (T1) and more often (T2), and of each the numbers of those that went (B1,
/// B2). A read of a page in B1 says that T1 is too small, in B2 that T2 is: `target` of T1 moves by at least 1.
class Arc final : public Cache {
 public:
  struct Sizes {
    Page t1, t2, b1, b2;
    double target;
  };
  Arc(Reads const& reads, Page capacity) : capacity_{capacity}, lists_{4, reads.distinct} {}
  bool read(Page page) override;
  /// T1 + T2 <= capacity, T1 + B1 <= capacity, all <= 2 capacity, 0 <= target <= capacity.
  Sizes sizes() const;

 private:
  enum : std::int8_t { t1, t2, b1, b2 };
  void replace(bool was_in_b2);
  void make_room_for_new();

  Page capacity_;
  PageLists lists_;
  double target_ = 0;
};

}   // namespace pikv::runtime::replay
