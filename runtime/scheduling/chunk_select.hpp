#pragma once

#include <memory>

#include "runtime/scheduling/snapkv.hpp"

namespace pikv::runtime {

struct ChunkSelectOptions {
  SnapKvOptions base;
  std::int32_t chunk_pages = 1;
  std::int32_t reuse = 2;   // layers in a row that keep what the first of them chose
};

/// ChunkKV's selection (methods 3.4, arXiv 2502.00299): chunks of consecutive tokens stay or go whole, for all heads alike. A chunk is a page, unless told to be
/// several; its score is the mean over its tokens of SnapKV's scores, these a mean over all heads. Of n chunks, the last perhaps short, the best max(1,
/// floor(n * keep)) stay. Where chunks are of several pages, none of them may be pinned in part. State: as snapkv, in the layers that choose.
std::unique_ptr<Scheduler> make_chunk_select(SchedulerMaterial const& material, ChunkSelectOptions const& options = {});

}   // namespace pikv::runtime
