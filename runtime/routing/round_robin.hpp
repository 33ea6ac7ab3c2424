#pragma once

#include <memory>

#include "runtime/routing/routers.hpp"

namespace pikv::runtime {

/// Router `round_robin` (methods 2.1): deals the experts to queries in turn, k at a time, so that after any number of queries the loads differ by at
/// most one. State: where it stands.
std::unique_ptr<Router> make_round_robin_router(RouterMaterial const& material);

}  // namespace pikv::runtime
