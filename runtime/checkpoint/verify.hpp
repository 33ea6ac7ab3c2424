#pragma once

#include <cstdint>
#include <vector>

#include "runtime/checkpoint/reader.hpp"

namespace pikv::runtime {

/// What a restore of a sound checkpoint brings back.
struct Verification {
  struct Gap {   // of a running request that does not come back whole: from token `restored` on, `length` - `restored` are computed again
    std::int64_t request = 0, restored = 0, length = 0;
  };
  std::uint64_t pages = 0, payload_bytes = 0;   // verified
  std::uint64_t left_out = 0;                   // rows without a page: it was not sound when the checkpoint was made
  std::int64_t tokens = 0, restored = 0;        // of running requests: in pages then; those that come back
  std::vector<Gap> gaps;
};

/// Reads and checks all of it. Throws CheckError with the first thing that does not hold.
Verification verify_checkpoint(CheckpointReader const& checkpoint);

}  // namespace pikv::runtime
