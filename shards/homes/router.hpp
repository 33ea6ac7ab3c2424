#pragma once

#include <memory>

#include "shards/homes.hpp"

namespace pikv::shards {

/// Home `router` (methods 1.1): KV expert = (the expert that the model's gate of the layer before liked best, summed over the block's tokens; ties: the
/// lower) mod E_kv; without a gate, as in layer 0, that of `mod`. No state. NaN is a std::logic_error.
std::unique_ptr<HomePolicy> make_router_home();

}  // namespace pikv::shards
