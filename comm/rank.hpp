#pragma once

namespace pikv::comm {

/// One MPI process, one device; 0 .. World::size() - 1. Rank 0 also coordinates.
using Rank = int;

}  // namespace pikv::comm
