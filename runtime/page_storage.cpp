#include "runtime/page_storage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "comm/error.hpp"
#include "runtime/cache_settings.hpp"
#include "runtime/storage_choice.hpp"
#include "shards/codecs/maps/rotate.hpp"
#include "shards/codecs/mixed.hpp"
#include "shards/codecs/quantised_error.hpp"

namespace pikv::runtime {

namespace {

constexpr Part both[] = {Part::keys, Part::values};

template <typename ByPart>
auto& of(ByPart& parts, Part part) {
  return parts[static_cast<std::size_t>(part)];
}

// ThinK leaves values as they are.
bool has_maps(shards::CodecSpec const& spec, Part part) {
  return spec.map && !spec.has_own_basis() && (spec.map->name != "prune" || spec.map->parameter || part == Part::keys);
}

void check_groups(std::string const& said, kernels::PageLayout const& page) {
  if (constexpr std::int32_t least = 8; page.page_tokens < least)
    throw InputError(fmt::format("{} quantises groups of tokens, and --page-tokens {} is fewer than {}; give --page-tokens {} or more", said, page.page_tokens, least, least));
}

shards::StoredPart stored_part(shards::CodecSpec const& spec, kernels::PageLayout const& page, char const* option) {
  shards::StoredPart part;
  part.element = spec.element.value_or(page.dtype == kernels::DType::f32    ? kernels::Element::f32
                                       : page.dtype == kernels::DType::bf16 ? kernels::Element::bf16
                                                                            : kernels::Element::f16);
  if (kernels::has_steps(part.element)) check_groups(fmt::format("{}={}", option, spec.text), page);
  if (spec.map && spec.map->name == rotation && !spec.element)
    throw InputError(fmt::format("{}={} turns numbers and keeps all of them as wide as they are; add a type, as rotate+int4", option, spec.text));
  if (spec.has_own_basis()) {
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

std::int32_t rank_of(shards::CodecSpec const& spec, Part part, std::int32_t layer, std::int32_t head, std::int32_t head_dim, Calibration const* calibration) {
  std::int32_t const most = round_up(head_dim);
  if (spec.map->name == rotation) return most;
  if (spec.map->parameter) {
    double const rank = *spec.map->parameter;
    if (rank > most || static_cast<std::int32_t>(rank) % 8 != 0)
      throw InputError(fmt::format("the codec {} asks for rank {}, and heads of this model have {} channels; give a multiple of 8 up to {}", spec.text, rank, head_dim, most));
    return static_cast<std::int32_t>(rank);
  }
  if (spec.map->name == "prune") return std::max(8, static_cast<std::int32_t>(.6 * head_dim) / 8 * 8);   // ThinK: 40 % of the keys' channels go
  if (spec.map->name != "svd") return std::max(8, head_dim / 2 / 8 * 8);
  auto const& spectrum = calibration->map("svd", part, layer, head).spectrum;
  double const whole = std::accumulate(spectrum.begin(), spectrum.end(), 0.0);
  double kept = 0;
  std::int32_t rank = 0;
  while (rank < head_dim && kept < kept_energy * whole) kept += spectrum[static_cast<std::size_t>(rank++)];
  return std::max(8, round_up(rank));
}

// A codec named by the options, head by head; lora_plus spreads its numbers over layers, heads, keys and values.
ByHead<PartChoice> parts_of(StorageChoice const& choice, shards::TableCodec const& same, ModelConfig const& config, Calibration const* calibration) {
  ByHead<PartChoice> parts;
  for (Part const part : both)
    for (std::int32_t layer = 0; layer < config.layers; ++layer)
      for (std::int32_t head = 0; head < config.kv_heads; ++head) {
        shards::CodecSpec const& spec = choice.of(part);
        PartChoice one{.map = std::string{no_map}, .rank = config.head_dim, .element = (part == Part::keys ? same.k : same.v).element, .mean_bits = 0};
        if (one.element == kernels::Element::mixed) one.mean_bits = spec.mean_bits;
        if (has_maps(spec, part)) {
          one.map = spec.map->name;
          one.rank = rank_of(spec, part, layer, head, config.head_dim, calibration);
        }
        of(parts, part).push_back(std::move(one));
      }
  auto const spreads = [&](Part part) { return choice.of(part).map && choice.of(part).map->name == "lora_plus"; };
  if (!spreads(Part::keys) || !spreads(Part::values)) return parts;
  auto const ranks = pooled_ranks(*calibration, (parts[0].front().rank + parts[1].front().rank) / 2.0);
  for (Part const part : both)
    for (std::size_t i = 0; i < of(parts, part).size(); ++i) of(parts, part)[i].rank = of(ranks, part)[i];
  return parts;
}

std::vector<shards::RankMap> maps_of(std::span<PartChoice const> heads, Part part, std::int32_t layer, std::int32_t first, std::int32_t head_dim, Calibration const* calibration) {
  std::vector<shards::RankMap> maps;
  for (std::size_t i = 0; i < heads.size(); ++i) {
    std::int32_t const rank = round_up(heads[i].rank);
    maps.push_back(heads[i].map == no_map     ? shards::map_of_rank(shards::identity_map(head_dim), rank)
                   : heads[i].map == rotation ? shards::map_of_rank(shards::rotation_map(head_dim), rank)
                                              : calibration->map_of_rank(heads[i].map, part, layer, first + static_cast<std::int32_t>(i), rank));
  }
  return maps;
}

std::string maps_text(std::span<PartChoice const> heads) {
  std::string text;
  for (PartChoice const& head : heads) text += fmt::format(" {}:{}", head.map, head.rank);
  return text;
}

// Keys of layers with their numbers in order, made once: bits do not change them.
class KeyOrders {
 public:
  explicit KeyOrders(Calibration const* calibration) : calibration_{calibration} {}
  shards::OrderedKeys const& of(std::span<PartChoice const> heads_of_layer, std::int32_t layer, std::int32_t head_dim) {
    auto const [at, is_new] = made_.try_emplace({layer, maps_text(heads_of_layer)});
    if (is_new)
      at->second = shards::ordered_keys(maps_of(heads_of_layer, Part::keys, layer, 0, head_dim, calibration_),
                                        calibration_->moments_of(layer, 0, static_cast<std::int32_t>(heads_of_layer.size())));
    return at->second;
  }

 private:
  Calibration const* calibration_;
  std::map<std::pair<std::int32_t, std::string>, shards::OrderedKeys> made_;
};

template <class T>
std::vector<T> some(std::vector<T> const& all, std::int32_t first, std::int32_t count) {
  return {all.begin() + first, all.begin() + first + count};
}

// Bits are spent over all heads of a layer, also where a table has one of them.
void add_key_bits(shards::StoredPart& stored, std::span<PartChoice const> heads_of_layer, std::int32_t layer, std::int32_t first, kernels::PageLayout const& page, KeyOrders& orders) {
  shards::OrderedKeys const& keys = orders.of(heads_of_layer, layer, page.head_dim);
  stored.maps = some(keys.maps, first, page.kv_heads);
  stored.bits = some(shards::key_bits(keys.weights, heads_of_layer[static_cast<std::size_t>(first)].mean_bits), first, page.kv_heads);
}

// Numbers of values and of a page's own basis are in order.
void add_bits_in_groups(shards::StoredPart& stored, double mean, kernels::PageLayout const& page) {
  for (std::size_t head = 0; head < static_cast<std::size_t>(page.kv_heads); ++head) {
    std::int32_t const rank = stored.own_rank > 0 ? stored.own_rank : stored.maps.empty() ? page.head_dim : stored.maps[head].rank;
    stored.bits.push_back(shards::value_bits(round_up(rank), mean));
  }
}

struct Stored {
  std::vector<shards::TableCodec> tables;
  ByHead<PartChoice> parts;   // empty without a calibration
};

// `same` in all tables, but for the maps that `parts` name, and bits. calibration: null unless these want one.
Stored stored(shards::TableCodec const& same, ByHead<PartChoice> parts, PageTables const& tables, ModelConfig const& config, Calibration const* calibration, KeyOrders& orders) {
  std::vector<shards::TableCodec> all(static_cast<std::size_t>(tables.all), same);
  for (std::int32_t table = 0; table < tables.all; ++table) {
    shards::TableCodec& codec = all[static_cast<std::size_t>(table)];
    std::int32_t const layer = table / tables.per_layer, first = table % tables.per_layer * tables.layout.kv_heads;
    for (Part const part : both) {
      auto const of_layer = std::span<PartChoice const>{of(parts, part)}.subspan(static_cast<std::size_t>(layer * config.kv_heads), static_cast<std::size_t>(config.kv_heads));
      auto const heads = of_layer.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(tables.layout.kv_heads));
      shards::StoredPart& stored = part == Part::keys ? codec.k : codec.v;
      stored.element = heads.front().element;
      bool const mixed = stored.element == kernels::Element::mixed;
      if (mixed && part == Part::keys && stored.own_rank == 0) {
        add_key_bits(stored, of_layer, layer, first, tables.layout, orders);
      } else {
        if (std::ranges::any_of(heads, [](PartChoice const& head) { return head.map != no_map; })) stored.maps = maps_of(heads, part, layer, first, config.head_dim, calibration);
        if (mixed) add_bits_in_groups(stored, heads.front().mean_bits, tables.layout);
      }
      for (PartChoice const& head : heads) codec.name += fmt::format(" {}:{}:{}", head.map, head.rank, static_cast<int>(head.element));
      if (mixed) codec.name += fmt::format(":{}", heads.front().mean_bits);
    }
  }
  if (calibration == nullptr) return {std::move(all), {}};
  return {std::move(all), std::move(parts)};
}

// What `choice` says of warm pages, or, with a choice of its own, of cold ones.
Stored stored(StorageChoice const& choice, char const* k_option, char const* v_option, PageTables const& tables, ModelConfig const& config, Calibration const* calibration) {
  shards::TableCodec same;
  same.name = choice.k.text == choice.v.text ? choice.k.text : choice.k.text + "/" + choice.v.text;
  same.k = stored_part(choice.k, tables.layout, k_option);
  same.v = stored_part(choice.v, tables.layout, v_option);
  KeyOrders orders{calibration};
  bool const mixed = same.k.element == kernels::Element::mixed || same.v.element == kernels::Element::mixed;
  if (mixed || has_maps(choice.k, Part::keys) || has_maps(choice.v, Part::values))
    return stored(same, parts_of(choice, same, config, calibration), tables, config, calibration, orders);
  return {std::vector<shards::TableCodec>(static_cast<std::size_t>(tables.all), same), {}};
}

}  // namespace

PageStorage make_page_storage(GenerateOptions const& options, ModelConfig const& config, Calibration const* calibration) {
  StorageChoice warm = storage_choice(options);
  if (!warm.codes()) return {};
  PageTables const tables = page_tables(options, config);
  auto const cold = std::exchange(warm.cold, std::nullopt);   // of each level, what it alone wants
  Stored made = stored(warm, options.codec_k.empty() ? "--codec" : "--codec-k", options.codec_v.empty() ? "--codec" : "--codec-v", tables, config, calibration), later;
  if (cold) {
    StorageChoice choice;
    choice.k = cold->k;
    choice.v = cold->v;
    later = stored(choice, "--cold-codec", "--cold-codec", tables, config, calibration);
  }
  return {std::make_shared<shards::PageCodecs>(tables.layout, std::move(made.tables), std::move(later.tables)), std::move(made.parts)};
}

PageStorage choose_page_storage(GenerateOptions const& options, ModelConfig const& config, Calibration const& calibration, FitsBudget const& fits) {
  PageTables const tables = page_tables(options, config);
  check_groups("--codec=auto", tables.layout);
  KeyOrders orders{&calibration};
  auto const made = [&](double bytes) {
    auto choice = choose_codec(calibration, bytes, [&](Part part, PartChoice const& one) { return part_bytes(part, one, options.page_tokens); });
    Stored all = stored({.name = "auto", .k = {}, .v = {}}, std::move(choice.parts), tables, config, &calibration, orders);
    return PageStorage{std::make_shared<shards::PageCodecs>(tables.layout, std::move(all.tables)), std::move(all.parts)};
  };
  double least = 0, most = 2.0 * static_cast<double>(tables.all) * static_cast<double>(tables.layout.bytes()) / options.page_tokens;
  if (PageStorage best = made(most); fits(*best.codecs)) return best;
  PageStorage best = made(least);
  constexpr int halvings = 12;   // to 1/4096 of a page
  for (int i = 0; i < halvings; ++i) {
    double const middle = (least + most) / 2;
    PageStorage one = made(middle);
    (fits(*one.codecs) ? least : most) = middle;
    if (least == middle) best = std::move(one);
  }
  return best;
}

namespace {

bool is_measured_mixed(Part part, PartChoice const& choice) {
  return choice.element == kernels::Element::mixed && choice.map == (part == Part::keys ? no_map : rotation) && std::ranges::find(mixed_means, choice.mean_bits) != mixed_means.end();
}

}  // namespace

ByHead<double> expected_errors(ByHead<PartChoice> const& parts, Calibration const& calibration) {
  CalibrationFacts const& facts = calibration.facts();
  ByHead<double> expected;
  for (Part const part : both)
    for (std::size_t i = 0; i < of(parts, part).size(); ++i) {
      PartChoice const& choice = of(parts, part)[i];
      auto const layer = static_cast<std::int32_t>(i) / facts.kv_heads, head = static_cast<std::int32_t>(i) % facts.kv_heads;
      bool const fitted = calibration.data().fitted.contains(choice.map), codes = kernels::has_steps(choice.element);
      bool const known = !codes || std::ranges::find(coded_bits, kernels::code_bits(choice.element)) != coded_bits.end();
      std::int32_t const rank = std::min(choice.rank, facts.head_dim);
      bool const measured = choice.map != rotation && known && !(fitted && codes) && (rank < facts.head_dim || codes);   // not: codes of fitted or rotated numbers, others than calibration has, and the rounding of maps that keep everything
      double const lost = is_measured_mixed(part, choice) ? held_out(calibration, part, layer, head, choice).squared
                          : !measured                     ? 0
                          : fitted                        ? calibration.held_out(choice.map, part, layer, head, rank).squared
                                                          : calibration.held_out(choice.map, part, layer, head, rank, choice.element).squared;
      of(expected, part).push_back(lost / calibration.held_out_size(part, layer, head).squared);
    }
  return expected;
}

}  // namespace pikv::runtime
