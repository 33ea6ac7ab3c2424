#pragma once

#include <cstdint>

namespace pikv::shards {

/// Number of a placement. It says where new pages go; pages placed under an older one stay where they are.
using Epoch = std::uint64_t;

/// Number of a step of the job, the clock of reclamation: a slot retired in step s may be reused when the minimum over ranks
/// of "oldest step with a transfer in flight" exceeds s (design 5).
using Step = std::int64_t;

}  // namespace pikv::shards
