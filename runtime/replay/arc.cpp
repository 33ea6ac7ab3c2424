#include "runtime/replay/arc.hpp"

#include <algorithm>

namespace pikv::runtime::replay {

bool Arc::read(Page page) {
  auto const list = lists_.list_of(page);
  double const in_b1 = lists_.size(b1), in_b2 = lists_.size(b2);
  switch (list) {
    case t1:
    case t2:
      lists_.move_to_front(t2, page);
      return true;
    case b1:
      target_ = std::min<double>(capacity_, target_ + std::max(1.0, in_b2 / in_b1));
      break;
    case b2:
      target_ = std::max(0.0, target_ - std::max(1.0, in_b1 / in_b2));
      break;
    default:
      make_room_for_new();
      lists_.push_front(t1, page);
      return false;
  }
  replace(list == b2);
  lists_.move_to_front(t2, page);
  return false;
}

void Arc::replace(bool was_in_b2) {
  Page const once = lists_.size(t1);
  bool const from_t1 = once > 0 && (once > target_ || (was_in_b2 && once == target_));
  lists_.push_front(from_t1 ? b1 : b2, lists_.pop_back(from_t1 ? t1 : t2));
}

void Arc::make_room_for_new() {
  Page const first = lists_.size(t1) + lists_.size(b1), second = lists_.size(t2) + lists_.size(b2);
  if (first == capacity_ && lists_.size(b1) == 0) {
    lists_.pop_back(t1);
    return;
  }
  if (first == capacity_)
    lists_.pop_back(b1);
  else if (first + second == 2 * capacity_)
    lists_.pop_back(b2);
  if (first + second >= capacity_) replace(false);
}

Arc::Sizes Arc::sizes() const { return {lists_.size(t1), lists_.size(t2), lists_.size(b1), lists_.size(b2), target_}; }

}   // namespace pikv::runtime::replay
