#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "comm/rank.hpp"
#include "shards/store.hpp"

namespace pikv::shards {

/// A page of a stream as its home knows it: enough for the rank that has its bytes to write it down.
struct PageRef {
  StreamId stream;
  std::int32_t layer = 0;
  Block block = 0;
  std::int32_t tokens = 0;         // fewer than a page's where it is still being filled
  std::int32_t open = 0;           // 1: not sealed yet
  comm::Rank at = -1;              // the rank that holds it; -1: nobody does any more, or it was evicted
  std::int32_t slot = -1;          // in that rank's arena
  std::int32_t indexed = 0;        // 1: it lies there as an owner's, else as its home's own
  std::uint64_t generation = 0;    // of the slot, if it is an owner's
  std::uint64_t bytes = 0;         // of its payload
};

/// Every page that holds tokens of `stream`, block after block, layer after layer; between steps, at its home.
std::vector<PageRef> pages_of(Store const& store, Stream const& stream, comm::Rank home);

/// On rank `page.at`, in the same control slot as pages_of: a verified copy. `payload` is page.bytes long; what an open page has not
/// filled is zero there, and its header is sealed over that, with its number of tokens. False: the page is not sound, nothing is promised
/// of the copy.
bool copy_page(Store& store, PageRef const& page, PageHeader& header, std::span<std::byte> payload);

}  // namespace pikv::shards
