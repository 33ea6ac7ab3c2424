#pragma once

#include <memory>

#include "shards/codec.hpp"

namespace pikv::shards {

/// Codec `none`, id 0: the payload is the page, byte for byte.
std::unique_ptr<Codec> make_none_codec();

}  // namespace pikv::shards
