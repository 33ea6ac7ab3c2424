#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/coded.hpp"

namespace pikv::shards {

/// What a stage of a codec does: chooses tokens that stay (runtime/scheduling), maps keys and values linearly, or says what their numbers are kept as.
/// `automatic` chooses the last two.
enum class CodecKind { none, automatic, selection, map, element };

struct CodecEntry {
  std::string_view sentence;          // for `pikv list codecs`
  CodecKind kind = CodecKind::none;
  kernels::Element element = kernels::Element::bf16;   // of kind element
  std::string_view parameter = "";    // what a number after ':' means; empty: it takes none
  bool calibrated = true;             // of kind map: its maps come from a calibration
};
std::map<std::string_view, CodecEntry> const& codecs();

/// A stage with its parameter.
struct CodecStage {
  std::string name;
  std::optional<double> parameter;
  friend bool operator==(CodecStage const&, CodecStage const&) = default;
};

/// How pages are stored, as a user writes it: stages joined by '+', each NAME or NAME:NUMBER, at most one of each kind and in this order: selection, map,
/// element. "svd:32+int8", "rotate+mixed:3.5", "chunk_select:0.5+lora_plus+int4", "none".
struct CodecSpec {
  std::string text = "none";
  std::optional<CodecStage> selection, map;
  std::optional<kernels::Element> element;   // none: the page's type
  double mean_bits = 3.5;                    // of mixed
  bool stores_as_is() const { return !map && !element; }
  bool automatic() const { return text == "auto"; }
  bool has_own_basis() const { return map && map->name == "chunk_pca"; }   // of each page
};

/// Throws InputError, which begins with what the user said, "--codec=zip".
CodecSpec parse_codec(std::string_view text, std::string_view said);

}  // namespace pikv::shards
