#pragma once

#include "kernels/host/tiles.hpp"
#include "targets.hpp"

namespace pikv::kernels {

/// on_each_target, and where the machine has matrix tiles once more without them.
template <class Body>
void on_each_path(Body const& body) {
  on_each_target(body);
  if (!host::tile_kernels()) return;
  SCOPED_TRACE("without tiles");
  host::allow_tiles(false);
  on_each_target(body);
  host::allow_tiles(true);
}

}  // namespace pikv::kernels
