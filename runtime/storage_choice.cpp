#include "runtime/storage_choice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "comm/error.hpp"
#include "runtime/cache_settings.hpp"
#include "runtime/calibration/codec_choice.hpp"
#include "shards/codecs/quantised_error.hpp"

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

namespace {

bool spreads(shards::CodecSpec const& spec) { return spec.map && spec.map->name == "lora_plus"; }

// By layer * kv_heads + head. lora_plus spreads its numbers over layers, heads, keys and values.
ByHead<std::int32_t> ranks_of(StorageChoice const& choice, ModelConfig const& config, Calibration const& calibration) {
  ByHead<std::int32_t> ranks;
  for (Part const part : {Part::keys, Part::values}) {
    shards::CodecSpec const& spec = choice.of(part);
    for (std::int32_t layer = 0; layer < config.layers && has_maps(spec, part); ++layer)
      for (std::int32_t head = 0; head < config.kv_heads; ++head)
        ranks[static_cast<std::size_t>(part)].push_back(rank_of(spec, part, layer, head, config.head_dim, calibration));
  }
  if (spreads(choice.k) && spreads(choice.v)) return pooled_ranks(calibration, (ranks[0].front() + ranks[1].front()) / 2.0);
  return ranks;
}

shards::RankMap map_of(Calibration const& calibration, PartChoice const& choice, Part part, std::int32_t layer, std::int32_t head) {
  if (choice.map == no_map) return shards::map_of_rank(shards::identity_map(calibration.facts().head_dim), round_up(choice.rank));
  return calibration.map_of_rank(choice.map, part, layer, head, choice.rank);
}

// What `auto` chose, as a codec of each table.
std::vector<shards::TableCodec> tables_of(CodecChoice const& choice, PageTables const& tables, ModelConfig const& config, Calibration const& calibration) {
  std::vector<shards::TableCodec> all(static_cast<std::size_t>(tables.all));
  for (std::int32_t table = 0; table < tables.all; ++table) {
    shards::TableCodec& of = all[static_cast<std::size_t>(table)];
    std::int32_t const layer = table / tables.per_layer, first = table % tables.per_layer * tables.layout.kv_heads;
    for (Part const part : {Part::keys, Part::values}) {
      shards::StoredPart& stored = part == Part::keys ? of.k : of.v;
      auto const heads = std::span{choice.parts[static_cast<std::size_t>(part)]}.subspan(static_cast<std::size_t>(layer * config.kv_heads + first), static_cast<std::size_t>(tables.layout.kv_heads));
      bool const maps = std::ranges::any_of(heads, [](PartChoice const& chosen) { return chosen.map != no_map; });
      for (std::int32_t head = first; head < first + tables.layout.kv_heads; ++head) {
        PartChoice const& chosen = choice.parts[static_cast<std::size_t>(part)][static_cast<std::size_t>(layer * config.kv_heads + head)];
        stored.element = chosen.element;
        of.name += fmt::format("{}{}:{}+{}", of.name.empty() ? "" : "/", chosen.map, chosen.rank, static_cast<int>(chosen.element));
        if (maps) stored.maps.push_back(map_of(calibration, chosen, part, layer, head));
      }
    }
  }
  return all;
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
  ByHead<std::int32_t> const ranks = ranks_of(choice, config, *calibration);
  for (std::int32_t table = 0; table < tables.all; ++table)
    for (Part const part : {Part::keys, Part::values}) {
      if (!has_maps(choice.of(part), part)) continue;
      auto& of = all[static_cast<std::size_t>(table)];
      std::int32_t const layer = table / tables.per_layer, first = table % tables.per_layer * tables.layout.kv_heads;
      for (std::int32_t head = first; head < first + tables.layout.kv_heads; ++head) {
        std::int32_t const rank = ranks[static_cast<std::size_t>(part)][static_cast<std::size_t>(layer * config.kv_heads + head)];
        (part == Part::keys ? of.k : of.v).maps.push_back(map_of(*calibration, {choice.of(part).map->name, rank}, part, layer, head));
      }
    }
  return std::make_shared<shards::PageCodecs>(tables.layout, std::move(all));
}

std::shared_ptr<shards::PageCodecs const> choose_page_codecs(GenerateOptions const& options, ModelConfig const& config, Calibration const& calibration,
                                                             FitsBudget const& fits) {
  PageTables const tables = page_tables(options, config);
  auto const made = [&](double bytes) {
    CodecChoice const choice = choose_codec(calibration, bytes, [&](Part part, std::int32_t rank, kernels::Element element) {
      return part_bytes(part, rank, element, options.page_tokens);
    });
    return std::make_shared<shards::PageCodecs>(tables.layout, tables_of(choice, tables, config, calibration));
  };
  double least = 0, most = 2.0 * static_cast<double>(tables.all) * static_cast<double>(tables.layout.bytes()) / options.page_tokens;
  if (auto best = made(most); fits(*best)) return best;
  std::shared_ptr<shards::PageCodecs const> best = made(least);
  constexpr int halvings = 12;   // to 1/4096 of a page
  for (int i = 0; i < halvings; ++i) {
    double const middle = (least + most) / 2;
    if (auto one = made(middle); fits(*one)) {
      best = one;
      least = middle;
    } else {
      most = middle;
    }
  }
  return best;
}

}  // namespace pikv::runtime
