#pragma once

#include <memory>

#include "shards/homes.hpp"

namespace pikv::shards {

/// Home `mod` (methods 1.1): KV expert = block_hash(stream, block) mod E_kv.
std::unique_ptr<HomePolicy> make_mod_home();

}  // namespace pikv::shards
