#include "runtime/replay/belady.hpp"

namespace pikv::runtime::replay {

Belady::Belady(Reads const& reads, Page capacity)
    : capacity_{capacity}, next_(reads.pages.size()), due_(static_cast<std::size_t>(reads.distinct), not_held) {
  std::vector<Moment> later(static_cast<std::size_t>(reads.distinct), reads.pages.size());
  for (Moment i = reads.pages.size(); i-- > 0;) next_[i] = std::exchange(later[static_cast<std::size_t>(reads.pages[i])], i);
}

bool Belady::read(Page page) {
  auto& due = due_[static_cast<std::size_t>(page)];
  bool const hit = due != not_held;
  if (!hit && held_ == capacity_) evict();
  if (!hit) ++held_;
  due = next_[now_++];
  furthest_.emplace(due, page);
  return hit;
}

void Belady::evict() {
  for (;;) {
    auto const [due, page] = furthest_.top();
    furthest_.pop();
    if (due_[static_cast<std::size_t>(page)] != due) continue;
    due_[static_cast<std::size_t>(page)] = not_held;
    --held_;
    return;
  }
}

}   // namespace pikv::runtime::replay
