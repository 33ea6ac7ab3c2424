#pragma once

#include <array>
#include <filesystem>
#include <string>

#include "runtime/calibration/calibration_file.hpp"
#include "runtime/calibration/make_maps.hpp"
#include "shards/codecs/maps.hpp"
#include "tests/shards/codecs/moments_of.hpp"

namespace pikv::test {

/// A small calibration of made-up keys and values: 2 layers, 2 KV heads of 16 numbers, 2 query heads each.
inline runtime::CalibrationData sample_calibration() {
  using shards::Part;
  constexpr std::array<double, runtime::coded_bits.size()> added{.01, 1, 4};   // by codes of 8, 4 and 3 bits
  runtime::CalibrationData data;
  data.facts = {.architecture = "LlamaForCausalLM", .layers = 2, .q_heads = 4, .kv_heads = 2, .head_dim = 16, .fingerprint = {1, 2}, .tokens = 300,
                .held_out_tokens = 100, .windows = 5, .window = 80, .text = "0123456789abcdef"};
  for (unsigned head = 0; head < 4; ++head) {
    auto const moments = problem(300, 16, 10, 100 * head).moments(), later = problem(100, 16, 10, 100 * head + 50).moments();
    for (std::size_t part = 0; part < 2; ++part) {
      data.held_out_size[part].emplace_back().add(shards::size_of_part(later, static_cast<Part>(part)));
      for (auto const& [name, family] : shards::map_families()) {
        if (family.from_moments == nullptr) continue;
        auto& into = data.families[std::string{name}];
        into.maps[part].push_back(family.from_moments(moments, static_cast<Part>(part)));
        auto& errors = into.held_out[part].emplace_back();
        for (std::int32_t const rank : {8, 16}) errors.add(shards::map_error(shards::map_of_rank(into.maps[part].back(), rank), later, static_cast<Part>(part)));
        for (std::size_t i = 0; i < added.size(); ++i) {
          auto& coded = data.coded[std::string{name}][i][part].emplace_back();
          for (double const error : errors.weighted) coded.add({error, error + added[i]});
        }
      }
      for (std::size_t i = 0; i < added.size(); ++i) data.coded[std::string{runtime::no_map}][i][part].emplace_back().add({.01, added[i]});
      for (std::size_t i = 0; i < data.mixed.size(); ++i) data.mixed[i][part].emplace_back().add({.02, 2.0 / (1 + static_cast<double>(i))});
      auto& fitted = data.fitted["distill"][8];
      fitted.maps[part].push_back(shards::map_of_rank(data.families["lora_plus"].maps[part].back(), 8));
      fitted.held_out[part].emplace_back().add({.5, .25});
      fitted.loss[part].push_back({.2, .1});
    }
    data.moments.push_back(moments);
    data.moments.back().tokens = 300;
    data.moments.back().queries = 600;
  }
  return data;
}

}  // namespace pikv::test
