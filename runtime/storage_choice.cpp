#include "runtime/storage_choice.hpp"

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "comm/error.hpp"

namespace pikv::runtime {

namespace {

bool maps_by_calibration(shards::CodecSpec const& spec) { return spec.map && spec.map->name != "chunk_pca"; }

shards::CodecSpec part_of(std::string_view text, std::string const& said) {
  shards::CodecSpec const spec = shards::parse_codec(text, said);
  if (spec.automatic()) throw InputError(fmt::format("{}: auto chooses for keys and for values; write it alone, as --codec auto", said));
  if (spec.selection) throw InputError(fmt::format("{} selects tokens, which is for keys and values together; write {} first in --codec", said, spec.selection->name));
  return spec;
}

}  // namespace

bool StorageChoice::wants_calibration() const { return automatic || maps_by_calibration(k) || maps_by_calibration(v); }

CodecPair parse_codec_pair(std::string_view text, std::string const& said) {
  auto const slash = text.find('/');
  shards::CodecSpec const first = shards::parse_codec(text.substr(0, slash), said);
  if (first.automatic() && slash != std::string_view::npos) (void)part_of(text.substr(0, slash), said);   // says why not
  return {first, slash == std::string_view::npos ? first : part_of(text.substr(slash + 1), said)};
}

StorageChoice storage_choice(GenerateOptions const& options) {
  StorageChoice choice;
  choice.automatic = options.codec == "auto";
  if (choice.automatic && (!options.codec_k.empty() || !options.codec_v.empty()))
    throw InputError("--codec auto chooses for keys and for values; leave out --codec-k and --codec-v");
  CodecPair const pair = parse_codec_pair(options.codec, "--codec=" + options.codec);
  choice.selection = pair.k.selection;
  choice.k = options.codec_k.empty() ? pair.k : part_of(options.codec_k, "--codec-k=" + options.codec_k);
  choice.v = options.codec_v.empty() ? pair.v : part_of(options.codec_v, "--codec-v=" + options.codec_v);
  return choice;
}

}  // namespace pikv::runtime
