#include "runtime/codec_choice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "comm/error.hpp"
#include "runtime/cache_settings.hpp"
#include "shards/codecs/rank_allocation.hpp"

namespace pikv::runtime {

namespace {

bool maps_by_calibration(shards::CodecSpec const& spec) { return spec.map && spec.map->name != "chunk_pca"; }
// ThinK leaves values as they are.
bool has_maps(shards::CodecSpec const& spec, Part part) {
  return maps_by_calibration(spec) && (spec.map->name != "prune" || spec.map->parameter || part == Part::keys);
}

shards::CodecSpec part_of(std::string const& own, std::string const& both, char const* option) {
  if (own.empty()) return shards::parse_codec(both, "--codec");
  shards::CodecSpec const spec = shards::parse_codec(own, option);
  if (spec.selection)
    throw InputError(fmt::format("{}={} selects tokens, which is for keys and values together; write {} in --codec", option, own, spec.selection->name));
  return spec;
}

shards::StoredPart stored_part(shards::CodecSpec const& spec, kernels::PageLayout const& page, char const* option) {
  shards::StoredPart part;
  part.element = spec.element.value_or(page.dtype == kernels::DType::f32    ? kernels::Element::f32
                                       : page.dtype == kernels::DType::bf16 ? kernels::Element::bf16
                                                                            : kernels::Element::f16);
  bool const quantised = part.element == kernels::Element::int8 || part.element == kernels::Element::int4;
  if (constexpr std::int32_t least = 8; quantised && page.page_tokens < least)
    throw InputError(fmt::format("{}={} quantises groups of tokens, and --page-tokens {} is fewer than {}; give --page-tokens {} or more", option, spec.text,
                                 page.page_tokens, least, least));
  if (spec.map && spec.map->name == "chunk_pca") {
    auto const rank = static_cast<std::int32_t>(spec.map->parameter.value_or(page.head_dim / 4));
    std::int32_t const most = page.page_tokens * page.head_dim / (page.page_tokens + page.head_dim);
    if (rank % 8 != 0 || rank > most)
      throw InputError(fmt::format("{}={}: with pages of {} tokens a page's own basis of rank {} saves nothing; give --page-tokens 256, and a multiple of 8 up to {}", option,
                                   spec.text, page.page_tokens, rank, most / 8 * 8));
    part.own_rank = rank;
  }
  return part;
}

std::int32_t round_up(std::int32_t n) { return (n + 7) / 8 * 8; }

constexpr double kept_energy = .95;   // of svd without a rank (methods 3.5)

std::int32_t rank_of(shards::CodecSpec const& spec, Part part, std::int32_t layer, std::int32_t head, std::int32_t head_dim, Calibration const& calibration) {
  std::int32_t const most = round_up(head_dim);
  if (spec.map->parameter) {
    double const rank = *spec.map->parameter;
    if (rank > most || static_cast<std::int32_t>(rank) % 8 != 0)
      throw InputError(fmt::format("the codec {} asks for rank {}, and heads of this model have {} channels; give a multiple of 8 up to {}", spec.text, rank, head_dim, most));
    return static_cast<std::int32_t>(rank);
  }
  if (spec.map->name == "prune") return std::max(8, static_cast<std::int32_t>(.6 * head_dim) / 8 * 8);   // ThinK: 40 % of the keys' channels go
  if (spec.map->name != "svd") return std::max(8, head_dim / 2 / 8 * 8);
  auto const& spectrum = calibration.map("svd", part, layer, head).spectrum;
  double const whole = std::accumulate(spectrum.begin(), spectrum.end(), 0.0);
  double kept = 0;
  std::int32_t rank = 0;
  while (rank < head_dim && kept < kept_energy * whole) kept += spectrum[static_cast<std::size_t>(rank++)];
  return std::max(8, round_up(rank));
}

// What a coordinate is worth, in one unit over all layers and heads: of keys the mean square of the logits it decides, whose absolute error is what
// moves attention; of values their share of the layer's output.
std::vector<double> worth(Calibration const& calibration, Part part, std::int32_t layer, std::int32_t head) {
  std::vector<double> spectrum = calibration.map("lora_plus", part, layer, head).spectrum;
  if (part == Part::keys) return spectrum;
  double size = 0;
  for (std::int32_t h = 0; h < calibration.facts().kv_heads; ++h) size += calibration.held_out_size(part, layer, h).weighted;
  for (double& one : spectrum) one /= size;
  return spectrum;
}

}  // namespace

bool StorageChoice::wants_calibration() const { return maps_by_calibration(k) || maps_by_calibration(v); }

StorageChoice storage_choice(GenerateOptions const& options) {
  StorageChoice choice;
  choice.selection = shards::parse_codec(options.codec, "--codec").selection;
  choice.k = part_of(options.codec_k, options.codec, "--codec-k");
  choice.v = part_of(options.codec_v, options.codec, "--codec-v");
  return choice;
}

namespace {

// By layer * kv_heads + head. lora_plus spreads its numbers over layers and heads.
std::vector<std::int32_t> ranks_of(shards::CodecSpec const& spec, Part part, ModelConfig const& config, Calibration const& calibration) {
  std::vector<std::int32_t> ranks;
  std::vector<std::vector<double>> spectra;
  for (std::int32_t layer = 0; layer < config.layers; ++layer)
    for (std::int32_t head = 0; head < config.kv_heads; ++head) {
      ranks.push_back(rank_of(spec, part, layer, head, config.head_dim, calibration));
      if (spec.map->name == "lora_plus") spectra.push_back(worth(calibration, part, layer, head));
    }
  return spectra.empty() ? ranks : shards::allocate_ranks(spectra, ranks.front());
}

}  // namespace

std::shared_ptr<shards::PageCodecs const> make_page_codecs(GenerateOptions const& options, ModelConfig const& config, Calibration const* calibration) {
  StorageChoice const choice = storage_choice(options);
  if (!choice.codes()) return nullptr;
  PageTables const tables = page_tables(options, config);
  shards::TableCodec same;
  same.name = choice.k.text == choice.v.text ? choice.k.text : choice.k.text + "/" + choice.v.text;
  same.k = stored_part(choice.k, tables.layout, "--codec-k");
  same.v = stored_part(choice.v, tables.layout, "--codec-v");
  std::vector<shards::TableCodec> all(static_cast<std::size_t>(tables.all), same);
  if (!choice.wants_calibration()) return std::make_shared<shards::PageCodecs>(tables.layout, std::move(all));
  for (Part const part : {Part::keys, Part::values}) {
    shards::CodecSpec const& spec = part == Part::keys ? choice.k : choice.v;
    if (!has_maps(spec, part)) continue;
    auto const ranks = ranks_of(spec, part, config, *calibration);
    for (std::int32_t table = 0; table < tables.all; ++table) {
      auto& of = all[static_cast<std::size_t>(table)];
      std::int32_t const layer = table / tables.per_layer, first = table % tables.per_layer * tables.layout.kv_heads;
      for (std::int32_t head = first; head < first + tables.layout.kv_heads; ++head)
        (part == Part::keys ? of.k : of.v)
            .maps.push_back(calibration->map_of_rank(spec.map->name, part, layer, head, ranks[static_cast<std::size_t>(layer * config.kv_heads + head)]));
    }
  }
  return std::make_shared<shards::PageCodecs>(tables.layout, std::move(all));
}

}  // namespace pikv::runtime
