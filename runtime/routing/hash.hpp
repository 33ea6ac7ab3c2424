#pragma once

#include <memory>

#include "runtime/routing/routers.hpp"

namespace pikv::runtime {

/// Router `hash` (methods 2.1): experts h, h+1 .. h+k-1 modulo E, h = mix(query id). It does not look: under `mod` homes its expected recall is
/// that of any choice of k experts, the floor for the others.
std::unique_ptr<Router> make_hash_router(RouterMaterial const& material);

}  // namespace pikv::runtime
