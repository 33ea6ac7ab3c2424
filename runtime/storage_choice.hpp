#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/options.hpp"
#include "shards/codec.hpp"
#include "shards/codecs/moments.hpp"

namespace pikv::runtime {

/// How cold pages are stored.
struct ColdChoice {
  shards::CodecSpec k, v;
  std::string text;
  std::int64_t after = 0;   // tokens; 0: it was not said
};

/// What --codec, --codec-k, --codec-v, --cold-codec and --cold-after say together.
struct StorageChoice {
  std::optional<shards::CodecStage> selection;   // of tokens: a scheduler's work (runtime/scheduling/selections.hpp)
  shards::CodecSpec k, v;
  bool automatic = false;   // chosen by layer and head, to fit --kv-budget
  std::optional<ColdChoice> cold;

  shards::CodecSpec const& of(shards::Part part) const { return part == shards::Part::keys ? k : v; }
  bool codes() const { return automatic || !k.stores_as_is() || !v.stores_as_is(); }
  bool wants_calibration() const { return !calibrated().empty(); }
  /// The codec that has a basis of calibration; empty: none.
  std::string calibrated() const;
};

/// One codec for both, or two with a '/' between, of keys and of values. Throws InputError, which begins with `said`.
struct CodecPair {
  shards::CodecSpec k, v;
};
CodecPair parse_codec_pair(std::string_view text, std::string const& said);

/// "int8>int4@512" is --codec int8 --cold-codec int4 --cold-after 512. Without '>' all is warm. Throws InputError, which begins with `said`.
struct CodecLevels {
  std::string warm, cold;
  std::int64_t cold_after = 0;
};
CodecLevels codec_levels(std::string const& text, std::string const& said);

/// Throws InputError.
StorageChoice storage_choice(GenerateOptions const& options);

}  // namespace pikv::runtime
