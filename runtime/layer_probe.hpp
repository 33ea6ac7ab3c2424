#pragma once

#include <cstdint>

#include "runtime/batch.hpp"
#include "shards/page.hpp"

namespace pikv::runtime {

/// Looks on while a batch goes through the model.
class LayerProbe {
 public:
  virtual ~LayerProbe() = default;
  /// After the attention of a layer: q, out [rows][q_heads][head_dim], k, v [rows][kv_heads][head_dim], q and k after rotary.
  virtual void attended(std::int32_t layer, Batch const& batch, float const* q, float const* k, float const* v, float const* out) = 0;
  virtual void ended(shards::StreamId const& stream) = 0;
};

}  // namespace pikv::runtime
