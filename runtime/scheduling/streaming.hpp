#pragma once

#include <memory>

#include "runtime/scheduling/schedulers.hpp"

namespace pikv::runtime {

/// StreamingLLM (methods 4.4, arXiv 2309.17453): u = 1 for the page of the first 4 tokens and for the newest pages that fit into the rest of the
/// budget, else 0. Keys keep the rotary of their own position, as kvpress' StreamingLLMPress. No state.
std::unique_ptr<Scheduler> make_streaming(SchedulerMaterial const& material);

}   // namespace pikv::runtime
