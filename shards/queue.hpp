#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace pikv::shards {

/// First in, first out, over one vector that is reused: once it has grown to the largest backlog it allocates no more
/// (a std::deque allocates for ever). Iterates oldest first.
template <typename T>
class Queue {
 public:
  bool empty() const { return head_ == items_.size(); }
  std::size_t size() const { return items_.size() - head_; }
  T& front() { return items_[head_]; }
  auto begin() { return items_.begin() + static_cast<std::ptrdiff_t>(head_); }
  auto end() { return items_.end(); }

  void push(T item) {
    if (items_.size() == items_.capacity() && head_ >= items_.size() / 2 && head_ > 0) compact();   // else let it grow
    items_.push_back(std::move(item));
  }
  void pop() {
    if (++head_ == items_.size()) compact();
  }
  T pop_newest() {
    T newest = std::move(items_.back());
    items_.pop_back();
    return newest;
  }
  template <typename Predicate>
  void erase_if(Predicate gone) {
    compact();
    std::erase_if(items_, gone);
  }

 private:
  void compact() {
    items_.erase(items_.begin(), begin());
    head_ = 0;
  }
  std::vector<T> items_;
  std::size_t head_ = 0;
};

}  // namespace pikv::shards
