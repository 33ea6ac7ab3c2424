#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/coded.hpp"
#include "kernels/pool.hpp"
#include "shards/page.hpp"

namespace pikv::shards {

/// Looks on while pages are encoded: the page as it was, in `slot` of `page`, and what is stored of it.
class EncodeWatch {
 public:
  virtual ~EncodeWatch() = default;
  virtual void encoded(PageKey const& key, kernels::PoolView const& page, std::int32_t slot, kernels::CodedLayout const& layout, std::byte const* coded) = 0;
};

}  // namespace pikv::shards
