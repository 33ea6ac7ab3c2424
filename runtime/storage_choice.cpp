#include "runtime/storage_choice.hpp"

#include <fmt/format.h>

#include <string>

#include "comm/error.hpp"

namespace pikv::runtime {

namespace {

bool maps_by_calibration(shards::CodecSpec const& spec) { return spec.map && spec.map->name != "chunk_pca"; }

shards::CodecSpec part_of(std::string const& own, std::string const& both, char const* option) {
  if (own.empty()) return shards::parse_codec(both, "--codec");
  shards::CodecSpec const spec = shards::parse_codec(own, option);
  if (spec.selection)
    throw InputError(fmt::format("{}={} selects tokens, which is for keys and values together; write {} in --codec", option, own, spec.selection->name));
  return spec;
}

}  // namespace

bool StorageChoice::wants_calibration() const { return automatic || maps_by_calibration(k) || maps_by_calibration(v); }

StorageChoice storage_choice(GenerateOptions const& options) {
  StorageChoice choice;
  choice.automatic = options.codec == "auto";
  if (choice.automatic && (!options.codec_k.empty() || !options.codec_v.empty()))
    throw InputError("--codec auto chooses for keys and for values; leave out --codec-k and --codec-v");
  choice.selection = shards::parse_codec(options.codec, "--codec").selection;
  choice.k = part_of(options.codec_k, options.codec, "--codec-k");
  choice.v = part_of(options.codec_v, options.codec, "--codec-v");
  return choice;
}

}  // namespace pikv::runtime
