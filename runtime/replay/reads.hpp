#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

namespace pikv::runtime::replay {

/// The pages of a trace are numbered from 0 in the order in which they are first read.
using Page = std::int32_t;

/// What is replayed: page reads in their order, by request.
struct Reads {
  std::vector<Page> pages;         // a read each
  std::vector<std::size_t> ends;   // of each request: one past its last read
  Page distinct = 0;               // pages are 0 .. distinct - 1

  std::span<Page const> of(std::size_t request) const {
    std::size_t const begin = request == 0 ? 0 : ends[request - 1];
    return std::span{pages}.subspan(begin, ends[request] - begin);
  }
};

/// Collects reads of pages that a trace names by a Key.
template <class Key>
class ReadsBuilder {
 public:
  void read(Key const& key) {
    auto const [number, is_new] = numbers_.try_emplace(key, reads_.distinct);
    if (is_new) ++reads_.distinct;
    reads_.pages.push_back(number->second);
  }
  void end_request() { reads_.ends.push_back(reads_.pages.size()); }
  Reads take() && { return std::move(reads_); }

 private:
  std::map<Key, Page> numbers_;
  Reads reads_;
};

}   // namespace pikv::runtime::replay
