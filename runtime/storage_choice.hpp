#pragma once

#include <optional>

#include "runtime/options.hpp"
#include "shards/codec.hpp"
#include "shards/codecs/moments.hpp"

namespace pikv::runtime {

/// What --codec, --codec-k and --codec-v say together.
struct StorageChoice {
  std::optional<shards::CodecStage> selection;   // of tokens: a scheduler's work (runtime/scheduling/selections.hpp)
  shards::CodecSpec k, v;
  bool automatic = false;   // chosen by layer and head, to fit --kv-budget

  shards::CodecSpec const& of(shards::Part part) const { return part == shards::Part::keys ? k : v; }
  bool codes() const { return automatic || !k.stores_as_is() || !v.stores_as_is(); }
  bool wants_calibration() const;
};

/// Throws InputError.
StorageChoice storage_choice(GenerateOptions const& options);

}  // namespace pikv::runtime
