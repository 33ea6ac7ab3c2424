#pragma once

#include "runtime/model/checkpoint.hpp"
#include "runtime/model/config.hpp"
#include "shards/page.hpp"

namespace pikv::runtime {

/// Model::fingerprint says what it covers. The checkpoint's tensors must have been checked against the config.
shards::Fingerprint fingerprint_of(ModelConfig const& config, Checkpoint const& checkpoint);

}   // namespace pikv::runtime
