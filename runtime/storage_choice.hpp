#pragma once

#include <optional>
#include <string>
#include <string_view>

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

/// One codec for both, or two with a '/' between, of keys and of values. Throws InputError, which begins with `said`.
struct CodecPair {
  shards::CodecSpec k, v;
};
CodecPair parse_codec_pair(std::string_view text, std::string const& said);

/// Throws InputError.
StorageChoice storage_choice(GenerateOptions const& options);

}  // namespace pikv::runtime
