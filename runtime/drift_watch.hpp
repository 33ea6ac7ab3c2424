#pragma once

#include <cstddef>
#include <vector>

#include "runtime/calibration/drift.hpp"
#include "shards/encode_watch.hpp"

namespace pikv::runtime {

/// Compares one page in 64 with what is stored of it, and says once in the log when calibration no longer fits (methods 3.0).
class DriftWatch : public shards::EncodeWatch {
 public:
  DriftWatch(ByHead<double> expected, std::int32_t kv_heads, kernels::PageLayout const& page);
  void encoded(shards::PageKey const& key, kernels::PoolView const& page, std::int32_t slot, kernels::CodedLayout const& layout, std::byte const* coded) override;

 private:
  DriftCheck check_;
  kernels::PageLayout shape_;
  std::vector<std::byte> stored_;   // one page in fp32
};

}  // namespace pikv::runtime
