#pragma once

#include <memory>

#include "shards/homes.hpp"

namespace pikv::shards {

/// Home `round_robin` (methods 1.1): KV expert = (block + sequence_of(stream)) mod E_kv, without overflow in the sum.
std::unique_ptr<HomePolicy> make_round_robin_home();

}  // namespace pikv::shards
