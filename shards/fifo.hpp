#pragma once

#include <cstddef>
#include <stdexcept>
#include <vector>

namespace pikv::shards {

/// First in, first out, for at most `capacity` items; its memory is taken once.
template <typename T>
class Fifo {
 public:
  explicit Fifo(std::size_t capacity) : items_(capacity) {}

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T const& front() const { return items_[first_]; }

  void push(T const& item) {
    if (size_ == items_.size()) throw std::logic_error("more items than a queue has room for");
    items_[(first_ + size_++) % items_.size()] = item;
  }
  T pop() {
    T const item = items_[first_];
    first_ = (first_ + 1) % items_.size();
    --size_;
    return item;
  }

 private:
  std::vector<T> items_;
  std::size_t first_ = 0, size_ = 0;
};

}  // namespace pikv::shards
