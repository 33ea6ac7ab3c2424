#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/replay/reads.hpp"

namespace pikv::runtime::replay {

/// Several doubly linked lists over the same pages, each page in one of them or in none. All in O(1), without allocation.
class PageLists {
 public:
  static constexpr std::int8_t none = -1;

  PageLists(std::int8_t lists, Page pages)
      : pages_{pages}, links_(static_cast<std::size_t>(pages) + lists), list_of_(static_cast<std::size_t>(pages), none), sizes_(lists, 0) {
    for (Page end = pages; end < pages + lists; ++end) link(end, end);   // each list is a ring through an end of its own
  }

  std::int8_t list_of(Page page) const { return list_of_[at(page)]; }
  Page size(std::int8_t list) const { return sizes_[at(list)]; }
  Page back(std::int8_t list) const { return links_[at(pages_ + list)].before; }

  void push_front(std::int8_t list, Page page) {
    Page const end = pages_ + list;
    link(page, links_[at(end)].after);
    link(end, page);
    list_of_[at(page)] = list;
    ++sizes_[at(list)];
  }

  void remove(Page page) {
    link(links_[at(page)].before, links_[at(page)].after);
    --sizes_[at(list_of_[at(page)])];
    list_of_[at(page)] = none;
  }

  Page pop_back(std::int8_t list) {
    Page const page = back(list);
    remove(page);
    return page;
  }

  void move_to_front(std::int8_t list, Page page) {
    remove(page);
    push_front(list, page);
  }

 private:
  struct Link {
    Page before, after;
  };
  static std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }
  void link(Page before, Page after) {
    links_[at(before)].after = after;
    links_[at(after)].before = before;
  }

  Page pages_;
  std::vector<Link> links_;
  std::vector<std::int8_t> list_of_;
  std::vector<Page> sizes_;
};

}   // namespace pikv::runtime::replay
