#include "shards/codec.hpp"

#include <charconv>
#include <cmath>

#include "comm/error.hpp"
#include "shards/names.hpp"

namespace pikv::shards {

std::map<std::string_view, CodecEntry> const& codecs() {
  using enum CodecKind;
  using kernels::Element;
  constexpr std::string_view rank = "numbers kept of each key and value", share = "share of the tokens kept";
  static std::map<std::string_view, CodecEntry> const table{
      {"none", {"stores pages as they are", none}},
      {"auto", {"chosen by layer and head, from calibration, so that --kv-budget is met with the least loss", automatic}},
      {"bf16", {"16 bits a number, where --kv-dtype has more", element, Element::bf16}},
      {"int8", {"8 bits a number, keys in groups by channel, values by token", element, Element::int8}},
      {"int4", {"4 bits a number, keys in groups by channel, values by token", element, Element::int4}},
      {"int3", {"3 bits a number, keys in groups by channel, values by token", element, Element::int3}},
      {"int2", {"2 bits a number, keys in groups by channel, values by token", element, Element::int2}},
      {"mixed", {"2 to 4 bits a number: of keys more where calibration's queries weigh more, of values for the first ones", element, Element::mixed, "mean bits of a number"}},
      {"fp8", {"e4m3, 8 bits a number with a scale per head and page", element, Element::fp8}},
      {"svd", {"principal components of calibration's keys and values", map, {}, rank}},
      {"lora", {"the low-rank factor of the projections, from calibration's second moments", map, {}, rank}},
      {"lora_plus", {"the basis that costs logits and outputs least, ranks spread over layers and heads", map, {}, "mean numbers kept of each key and value"}},
      {"prune", {"the channels that matter most to calibration's queries", map, {}, rank}},
      {"distill", {"maps trained offline to give the attention of the exact cache", map, {}, rank}},
      {"rotate", {"before a type of few bits, of values: spreads what stands out over all channels", map, {}, "", false}},
      {"chunk_pca", {"principal components of each page's own tokens", map, {}, rank, false}},
      {"pyramid", {"keeps a share of the tokens, more in low layers than in high ones", selection, {}, share}},
      {"chunk_select", {"keeps a share of the pages whole, the same for all heads of two layers", selection, {}, share}},
      {"fastv", {"drops a share of the tokens in all layers after the second, those that receive least attention in it", selection, {}, "share of the tokens dropped there"}},
  };
  return table;
}

namespace {

[[noreturn]] void refuse(std::string_view said, std::string const& why) {
  throw InputError(std::string{said} + " " + why);
}

double number_in(std::string_view stage, std::string_view said, CodecEntry const& entry) {
  auto const after = stage.substr(stage.find(':') + 1);
  double number = 0;
  auto const [end, trouble] = std::from_chars(after.data(), after.data() + after.size(), number);
  if (trouble != std::errc{} || end != after.data() + after.size() || !std::isfinite(number) || (entry.kind != CodecKind::selection && number <= 0))
    refuse(said, "has '" + std::string{after} + "' where the " + std::string{entry.parameter} + " should be; write a number");
  if (entry.kind == CodecKind::element && (number < kernels::least_strip_bits || number > kernels::most_strip_bits))
    refuse(said, "asks for " + std::string{after} + " bits a number on average; give " + std::to_string(kernels::least_strip_bits) + " to " + std::to_string(kernels::most_strip_bits));
  if (entry.kind == CodecKind::map && number != std::floor(number)) refuse(said, "asks for a part of a number; write the " + std::string{entry.parameter} + " as a whole number");
  return number;
}

}  // namespace

CodecSpec parse_codec(std::string_view text, std::string_view said) {
  CodecSpec spec;
  spec.text = text;
  CodecKind last = CodecKind::none;
  bool first = true;
  for (std::string_view rest = text; first || !rest.empty();) {
    auto const plus = rest.find('+');
    std::string_view const stage = rest.substr(0, plus);
    rest = plus == std::string_view::npos ? std::string_view{} : rest.substr(plus + 1);
    if (plus != std::string_view::npos && rest.empty()) refuse(said, "ends with '+'; write what is to follow, or leave it out");
    auto const name = stage.substr(0, stage.find(':'));
    auto const found = codecs().find(name);
    if (found == codecs().end()) refuse(said, "is unknown: no codec is named '" + std::string{name} + "'; choose of: " + names_in(codecs()));
    CodecEntry const& entry = found->second;
    if (!first && (last <= CodecKind::automatic || entry.kind <= last))
      refuse(said, "is in no order that works; join at most one of each: a selection of tokens (pyramid, chunk_select, fastv), a map (svd, lora, ...), a type (bf16, int8, int4, int3, int2, mixed, fp8)");
    CodecStage made{std::string{name}, {}};
    if (stage.find(':') != std::string_view::npos) {
      if (entry.parameter.empty()) refuse(said, "gives '" + std::string{name} + "' a number, which it does not take; leave ':' out");
      made.parameter = number_in(stage, said, entry);
    }
    if (entry.kind == CodecKind::selection) spec.selection = made;
    if (entry.kind == CodecKind::map) spec.map = made;
    if (entry.kind == CodecKind::element) {
      spec.element = entry.element;
      spec.mean_bits = made.parameter.value_or(spec.mean_bits);
    }
    last = entry.kind;
    first = false;
  }
  return spec;
}

}  // namespace pikv::shards
