#include "runtime/storage_choice.hpp"

#include <fmt/format.h>

#include <charconv>
#include <string>
#include <string_view>
#include <utility>

#include "comm/error.hpp"

namespace pikv::runtime {

namespace {

bool uses_calibration(shards::CodecSpec const& spec, shards::Part part) {
  return (spec.map && shards::codecs().at(spec.map->name).calibrated) || (part == shards::Part::keys && spec.element == kernels::Element::mixed && !spec.has_own_basis());
}

shards::CodecSpec part_of(std::string_view text, std::string const& said) {
  shards::CodecSpec const spec = shards::parse_codec(text, said);
  if (spec.automatic()) throw InputError(fmt::format("{}: auto chooses for keys and for values; write it alone, as --codec auto", said));
  if (spec.selection) throw InputError(fmt::format("{} selects tokens, which is for keys and values together; write {} first in --codec", said, spec.selection->name));
  return spec;
}

}  // namespace

std::string StorageChoice::calibrated() const {
  if (automatic) return "auto";
  for (shards::Part const part : {shards::Part::keys, shards::Part::values}) {
    if (uses_calibration(of(part), part)) return of(part).text;
    if (cold && uses_calibration(part == shards::Part::keys ? cold->k : cold->v, part)) return (part == shards::Part::keys ? cold->k : cold->v).text;
  }
  return {};
}

CodecLevels codec_levels(std::string const& text, std::string const& said) {
  auto const arrow = text.find('>');
  if (arrow == std::string::npos) return {text, "", 0};
  auto const at = text.find('@', arrow);
  std::int64_t after = 0;
  char const* const end = text.data() + text.size();
  bool const number = at != std::string::npos && std::from_chars(text.data() + at + 1, end, after).ptr == end;
  bool const named = arrow > 0 && at != arrow + 1;
  if (!named || !number || after < 1 || after > 1 << 30)
    throw InputError(fmt::format("{} does not say how pages are stored and when they are cold; write WARM>COLD@TOKENS, as int8>int4@512", said));
  return {text.substr(0, arrow), text.substr(arrow + 1, at - arrow - 1), after};
}

namespace {

std::optional<ColdChoice> cold_choice(GenerateOptions const& options, CodecLevels const& levels) {
  bool const joined = !levels.cold.empty();
  if (joined && (!options.cold_codec.empty() || options.cold_after > 0))
    throw InputError(fmt::format("--codec={} says how cold pages are stored; leave out --cold-codec and --cold-after", options.codec));
  std::string const text = joined ? levels.cold : options.cold_codec;
  if (text.empty()) return std::nullopt;
  std::string const said = joined ? "--codec=" + options.codec : "--cold-codec=" + text;
  CodecPair pair = parse_codec_pair(text, said);
  for (shards::CodecSpec const* spec : {&pair.k, &pair.v}) {
    if (spec->automatic()) throw InputError(fmt::format("{}: auto chooses for warm pages alone; name the codec of cold ones", said));
    if (spec->selection) throw InputError(fmt::format("{} selects tokens, which is done once, of all pages; write {} first in --codec", said, spec->selection->name));
  }
  return ColdChoice{std::move(pair.k), std::move(pair.v), text, joined ? levels.cold_after : options.cold_after};
}

}  // namespace

CodecPair parse_codec_pair(std::string_view text, std::string const& said) {
  auto const slash = text.find('/');
  shards::CodecSpec const first = shards::parse_codec(text.substr(0, slash), said);
  if (first.automatic() && slash != std::string_view::npos) (void)part_of(text.substr(0, slash), said);   // says why not
  return {first, slash == std::string_view::npos ? first : part_of(text.substr(slash + 1), said)};
}

StorageChoice storage_choice(GenerateOptions const& options) {
  StorageChoice choice;
  CodecLevels const levels = codec_levels(options.codec, "--codec=" + options.codec);
  choice.automatic = levels.warm == "auto";
  if (choice.automatic && (!options.codec_k.empty() || !options.codec_v.empty()))
    throw InputError("--codec auto chooses for keys and for values; leave out --codec-k and --codec-v");
  CodecPair const pair = parse_codec_pair(levels.warm, "--codec=" + options.codec);
  choice.selection = pair.k.selection;
  choice.k = options.codec_k.empty() ? pair.k : part_of(options.codec_k, "--codec-k=" + options.codec_k);
  choice.v = options.codec_v.empty() ? pair.v : part_of(options.codec_v, "--codec-v=" + options.codec_v);
  choice.cold = cold_choice(options, levels);
  return choice;
}

}  // namespace pikv::runtime
