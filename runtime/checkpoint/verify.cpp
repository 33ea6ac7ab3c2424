#include "runtime/checkpoint/verify.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <string>

#include "comm/error.hpp"
#include "runtime/checkpoint/restored_pages.hpp"
#include "runtime/checkpoint/tables_check.hpp"

namespace pikv::runtime {

namespace {

[[noreturn]] void fail(CheckpointReader const& checkpoint, std::string const& what) {
  throw CheckError(fmt::format("{} does not hold: {}; resume from another checkpoint", checkpoint.path().string(), what));
}

/// Rows of pages that were left out.
std::vector<bool> verify_pages(CheckpointReader const& checkpoint, Verification& found) {
  auto const& pages = checkpoint.pages();
  std::vector<bool> left_out(pages.size());
  std::vector<std::byte> payload(checkpoint.facts().payload_bytes);
  for (std::size_t row = 0; row < pages.size(); ++row) {
    auto const verdict = checkpoint.verdict(row, payload);
    left_out[row] = verdict == shards::Verdict::not_ready;
    if (left_out[row]) {
      ++found.left_out;
    } else if (verdict == shards::Verdict::good) {
      ++found.pages;
      found.payload_bytes += pages[row].bytes;
    } else {
      PageRow const& page = pages[row];
      fail(checkpoint, fmt::format("page {} (stream {:016x}{:016x}, layer {}, block {}) is damaged: {}", row, page.stream_hi, page.stream_lo,
                                   page.layer, page.block, to_string(verdict)));
    }
  }
  return left_out;
}

}   // namespace

Verification verify_checkpoint(CheckpointReader const& checkpoint) {
  if (auto const wrong = contradiction_in(checkpoint); !wrong.empty()) fail(checkpoint, wrong);
  Verification found;
  auto const left_out = verify_pages(checkpoint, found);
  PageTables const tables = page_tables(checkpoint.facts());
  RestoredPages const restored{checkpoint, tables.all};
  for (SavedRequest const& saved : checkpoint.requests()) {
    if (saved.phase != Phase::running) continue;
    auto const sound = [&](shards::Block block) {
      for (std::int32_t layer = 0; layer < tables.all; ++layer)
        if (auto const row = restored.row(saved.stream, layer, block); row && left_out[*row]) return false;
      return true;
    };
    shards::Block block = 0;
    while (block < restored.blocks(saved.stream) && sound(block)) ++block;
    std::int64_t const tokens = std::min(saved.length, shards::first_position(block, tables.layout.page_tokens));
    found.tokens += saved.length;
    found.restored += tokens;
    if (tokens < saved.length) found.gaps.push_back({saved.request.index, tokens, saved.length});
  }
  return found;
}

}   // namespace pikv::runtime
