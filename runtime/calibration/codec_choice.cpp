#include "runtime/calibration/codec_choice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "shards/codecs/auto_choice.hpp"
#include "shards/codecs/maps/matrix.hpp"
#include "shards/codecs/mixed.hpp"
#include "shards/codecs/rank_allocation.hpp"

namespace pikv::runtime {
namespace {

using kernels::Element;

constexpr std::array<Element, 4> elements{Element::bf16, Element::int8, Element::int4, Element::int3};
constexpr std::array<std::string_view, 2> families{"svd", "lora_plus"};

double weighted_spread(HeadMoments const& moments) {
  shards::PartMoments const v = shards::part_moments(moments, Part::values);
  return v.covariance().cwiseProduct(v.weight).sum();
}

/// What a weighted square of this head counts.
double unit(Calibration const& calibration, Part part, std::int32_t layer, std::int32_t head) {
  double whole = 0;
  for (std::int32_t other = 0; other < calibration.facts().kv_heads; ++other) whole += weighted_spread(calibration.moments(layer, other));
  if (whole <= 0) return 0;
  return part == Part::values ? 1 / whole : weighted_spread(calibration.moments(layer, head)) / whole / calibration.facts().head_dim;
}

/// All ways to store one head's part with one element.
struct Options {
  std::vector<PartChoice> choices;
  std::vector<shards::Candidate> candidates;
};

Options options_of(Calibration const& calibration, Part part, std::int32_t layer, std::int32_t head, Element element, PartBytes const& bytes_of, bool maps) {
  Options options;
  double const counts = unit(calibration, part, layer, head);
  auto const add = [&](std::string_view name, std::int32_t rank) {
    options.choices.push_back({std::string{name}, rank, element, 0});
    options.candidates.push_back({bytes_of(part, options.choices.back()), counts * held_out(calibration, part, layer, head, options.choices.back()).weighted});
  };
  std::int32_t const d = calibration.facts().head_dim;
  add(no_map, d);
  for (std::string_view const name : families)
    for (std::int32_t const rank : shards::rank_steps(d))
      if (maps) add(name, rank);
  return options;
}

/// The heads of one layer's keys, or values: ways to store them all.
struct Together {
  std::vector<std::vector<PartChoice>> choices;   // by way, head
  std::vector<shards::Candidate> candidates;
};

/// Bits are spent over all heads at once.
void add_mixed(Calibration const& calibration, Part part, std::int32_t layer, PartBytes const& bytes_of, double mean, Together& ways) {
  CalibrationFacts const& facts = calibration.facts();
  PartChoice const mixed{std::string{part == Part::keys ? no_map : rotation}, facts.head_dim, Element::mixed, mean};
  shards::Candidate sum{};
  for (std::int32_t head = 0; head < facts.kv_heads; ++head) {
    sum.bytes += bytes_of(part, mixed);
    sum.error += unit(calibration, part, layer, head) * held_out(calibration, part, layer, head, mixed).weighted;
  }
  ways.choices.emplace_back(static_cast<std::size_t>(facts.kv_heads), mixed);
  ways.candidates.push_back(sum);
}

Together together(Calibration const& calibration, Part part, std::int32_t layer, PartBytes const& bytes_of, bool maps) {
  Together ways;
  for (Element const element : elements) {
    std::vector<std::vector<PartChoice>> choices;
    std::vector<std::vector<shards::Candidate>> candidates;
    for (std::int32_t head = 0; head < calibration.facts().kv_heads; ++head) {
      Options options = options_of(calibration, part, layer, head, element, bytes_of, maps);
      choices.push_back(std::move(options.choices));
      candidates.push_back(std::move(options.candidates));
    }
    for (shards::Choice const& choice : shards::frontier(candidates)) {
      auto& of_heads = ways.choices.emplace_back();
      for (std::size_t head = 0; head < choices.size(); ++head) of_heads.push_back(choices[head][choice.places[head]]);
      ways.candidates.push_back(choice.sum);
    }
  }
  for (double const mean : mixed_means) add_mixed(calibration, part, layer, bytes_of, mean, ways);
  return ways;
}

}   // namespace

double output_error(Calibration const& calibration, Part part, std::int32_t layer, std::int32_t head, MapError const& lost) {
  return unit(calibration, part, layer, head) * lost.weighted;
}

ByHead<std::int32_t> pooled_ranks(Calibration const& calibration, double mean_rank) {
  std::vector<std::vector<double>> spectra;
  for (Part const part : {Part::keys, Part::values})
    for (std::int32_t layer = 0; layer < calibration.facts().layers; ++layer)
      for (std::int32_t head = 0; head < calibration.facts().kv_heads; ++head) {
        spectra.push_back(calibration.map("lora_plus", part, layer, head).spectrum);
        double const counts = unit(calibration, part, layer, head);
        for (double& value : spectra.back()) value *= counts;
      }
  auto const ranks = shards::allocate_ranks(spectra, mean_rank);
  auto const values = ranks.begin() + static_cast<std::ptrdiff_t>(calibration.facts().heads());
  return {std::vector<std::int32_t>{ranks.begin(), values}, std::vector<std::int32_t>{values, ranks.end()}};
}

std::string text_of(PartChoice const& choice) {
  std::string text = choice.map == no_map ? "" : choice.map == rotation ? "rotate+" : fmt::format("{}:{}+", choice.map, choice.rank);
  if (choice.element == Element::mixed) return text + fmt::format("mixed:{}", choice.mean_bits);
  return text + (choice.element == Element::bf16 ? "bf16" : fmt::format("int{}", kernels::code_bits(choice.element)));
}

MapError held_out(Calibration const& calibration, Part part, std::int32_t layer, std::int32_t head, PartChoice const& choice) {
  if (choice.element == Element::mixed) return calibration.held_out_mixed(part, layer, head, choice.mean_bits);
  return calibration.held_out(choice.map, part, layer, head, choice.rank, choice.element);
}

double part_bytes(Part part, PartChoice const& choice, std::int32_t page_tokens) {
  constexpr double full = 2, group = 32;
  bool const mixed = choice.element == Element::mixed;
  double bits = mixed ? choice.mean_bits : kernels::code_bits(choice.element);
  double const pair = mixed ? 2 : 4;
  if (mixed && part == Part::values) {   // at most the mean
    auto const strips = shards::value_bits((choice.rank + 7) / 8 * 8, choice.mean_bits);
    bits = std::accumulate(strips.begin(), strips.end(), 0.0) / static_cast<double>(strips.size());
  }
  if (bits == 0) return full * choice.rank;
  double const groups = part == Part::keys ? choice.rank / std::min<double>(page_tokens, group) : (choice.rank + 31) / 32;
  return choice.rank * bits / 8 + pair * groups;
}

namespace {

CodecChoice choose_from(Calibration const& calibration, double bytes, PartBytes const& bytes_of, bool maps_of_keys) {
  CalibrationFacts const& facts = calibration.facts();
  std::vector<Together> all;
  std::vector<std::vector<shards::Candidate>> candidates;
  for (Part const part : {Part::keys, Part::values})
    for (std::int32_t layer = 0; layer < facts.layers; ++layer) {
      all.push_back(together(calibration, part, layer, bytes_of, part == Part::values || maps_of_keys));
      candidates.push_back(all.back().candidates);
    }
  shards::Choice const choice = shards::choose(candidates, bytes);
  CodecChoice codec{{}, choice.sum.bytes, choice.sum.error};
  for (std::size_t i = 0; i < all.size(); ++i) {
    auto const& of_heads = all[i].choices[choice.places[i]];
    auto& part = codec.parts[i / static_cast<std::size_t>(facts.layers)];
    part.insert(part.end(), of_heads.begin(), of_heads.end());
  }
  return codec;
}

}   // namespace

CodecChoice choose_codec(Calibration const& calibration, double bytes, PartBytes const& bytes_of) {
  CodecChoice const choice = choose_from(calibration, bytes, bytes_of, false);
  return choice.bytes <= bytes ? choice : choose_from(calibration, bytes, bytes_of, true);
}

}   // namespace pikv::runtime
