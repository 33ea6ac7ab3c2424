#include "runtime/calibration/fit_heads.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "runtime/calibration/split.hpp"
#include "shards/codecs/maps/distill.hpp"
#include "shards/codecs/maps/rotate.hpp"
#include "shards/codecs/mixed.hpp"
#include "shards/codecs/mixed_error.hpp"
#include "shards/codecs/quantised_error.hpp"

namespace pikv::runtime {
namespace {

using shards::Matrix;

/// Numbers of one head, written and read in the same order.
class Numbers {
 public:
  template <typename List>
  void add(List const& list) { all_.insert(all_.end(), list.begin(), list.end()); }
  template <typename List>
  void take(List& list) {
    for (auto& value : list) value = static_cast<typename List::value_type>(all_[next_++]);
  }
  std::vector<double> const& all() const { return all_; }
  void load(std::span<std::byte const> bytes) {
    all_.resize(bytes.size() / sizeof(double));
    std::memcpy(all_.data(), bytes.data(), bytes.size());
  }

 private:
  std::vector<double> all_;
  std::size_t next_ = 0;
};

/// Held-out tokens from the second group of 32 on, whole groups: the first holds the sinks, and is never coded.
Matrix coded_tokens(std::vector<shards::AttentionWindow> const& windows, Part part) {
  constexpr Eigen::Index group = 32;
  Matrix all(0, windows.front().k.cols());
  for (auto const& window : windows) {
    Matrix const& x = part == Part::keys ? window.k : window.v;
    Eigen::Index const begin = x.rows() >= 2 * group ? group : 0, count = std::max<Eigen::Index>((x.rows() - begin) / group * group, std::min(x.rows(), group));
    all.conservativeResize(all.rows() + count, Eigen::NoChange);
    all.bottomRows(count) = x.middleRows(begin, count);
  }
  return all;
}

void distill(HeadSamples const& samples, HeadMoments const& moments, FullMap const& start, Part part, std::int32_t rank, Numbers& into) {
  shards::DistillSample const sample{samples.fit, samples.held_out, sinks};
  RankMap const from = shards::distill_start(start, rank);
  auto const fit = part == Part::keys ? shards::distill_keys : shards::distill_values;
  shards::Distilled const distilled = fit(sample, moments, from);
  into.add(distilled.map.encode);
  into.add(distilled.map.decode);
  into.add(std::vector{distilled.loss_before, distilled.loss});
}

void add_code_errors(FullMap const& map, Matrix const& x, HeadMoments const& moments, Part part, std::span<std::int32_t const> ranks, Numbers& into) {
  Matrix const weight = shards::part_moments(moments, part).weight;
  for (int const bits : coded_bits)
    for (MapError const& error : shards::code_errors(map, x, weight, part, bits, ranks)) into.add(std::vector{error.squared, error.weighted});
}

// How a layer's keys and values are stored in mixed bits, by mixed_means.
struct LayerBits {
  shards::OrderedKeys keys;
  RankMap turned;   // of values, as all heads have it
  std::array<std::vector<std::vector<std::uint8_t>>, mixed_means.size()> of_keys;   // by head
  std::array<std::vector<std::uint8_t>, mixed_means.size()> of_values;
};

LayerBits layer_bits(CalibrationData const& data, std::int32_t layer) {
  std::int32_t const d = data.facts.head_dim, rank = (d + 7) / 8 * 8;
  auto const heads = static_cast<std::size_t>(data.facts.kv_heads);
  auto const moments = std::span{data.moments}.subspan(static_cast<std::size_t>(layer) * heads, heads);
  LayerBits bits{shards::ordered_keys(std::vector(heads, shards::map_of_rank(shards::identity_map(d), rank)), moments), shards::map_of_rank(shards::rotation_map(d), rank), {}, {}};
  for (std::size_t i = 0; i < mixed_means.size(); ++i) {
    bits.of_keys[i] = shards::key_bits(bits.keys.weights, mixed_means[i]);
    bits.of_values[i] = shards::value_bits(rank, mixed_means[i]);
  }
  return bits;
}

void add_mixed_errors(LayerBits const& bits, std::size_t head, Matrix const& x, HeadMoments const& moments, Part part, Numbers& into) {
  Matrix const weight = shards::part_moments(moments, part).weight;
  for (std::size_t i = 0; i < mixed_means.size(); ++i) {
    MapError const error = part == Part::keys ? shards::mixed_error(bits.keys.maps[head], bits.of_keys[i][head], x, weight, part) : shards::mixed_error(bits.turned, bits.of_values[i], x, weight, part);
    into.add(std::vector{error.squared, error.weighted});
  }
}

struct Shape {
  std::int32_t head_dim;
  std::vector<std::int32_t> steps;
  std::span<std::int32_t const> distill_ranks;
};

Numbers fit_head(Shape const& shape, LayerBits const& bits, HeadSamples const& samples, CalibrationData const& data, std::size_t head) {
  Numbers numbers;
  for (Part const part : {Part::keys, Part::values}) {
    auto const at = static_cast<std::size_t>(part);
    Matrix const x = coded_tokens(samples.held_out, part);
    HeadMoments const& moments = data.moments[head];
    add_code_errors(shards::identity_map(shape.head_dim), x, moments, part, std::span{&shape.head_dim, 1}, numbers);
    for (auto const& [name, family] : data.families) add_code_errors(family.maps[at][head], x, moments, part, shape.steps, numbers);
    add_mixed_errors(bits, head % static_cast<std::size_t>(data.facts.kv_heads), x, moments, part, numbers);
    for (std::int32_t const rank : shape.distill_ranks) distill(samples, moments, data.families.find("lora_plus")->second.maps[at][head], part, rank, numbers);
  }
  return numbers;
}

/// Adds them to what the map loses without codes (empty: nothing).
template <typename Errors>
void take_code_errors(Numbers& numbers, std::size_t part, std::size_t count, HeldOut const& of_map, Errors& into) {
  for (auto& by_head : into) {
    HeldOut errors;
    for (std::size_t step = 0; step < count; ++step) {
      std::array<double, 2> added{};
      numbers.take(added);
      if (!of_map.squared.empty()) added = {added[0] + of_map.squared[step], added[1] + of_map.weighted[step]};
      errors.add({added[0], added[1]});
    }
    by_head[part].push_back(std::move(errors));
  }
}

void take_distilled(Numbers& numbers, std::size_t part, std::int32_t rank, std::size_t head, CalibrationData& data) {
  CalibratedRank& fitted = data.fitted["distill"][rank];
  FullMap const& start = data.families.find("lora_plus")->second.maps[part][head];
  RankMap map = shards::map_of_rank(start, rank);
  std::array<double, 2> loss{};
  numbers.take(map.encode);
  numbers.take(map.decode);
  numbers.take(loss);
  HeldOut errors;
  errors.add(shards::map_error(map, data.held_out_moments[head], static_cast<Part>(part)));
  fitted.held_out[part].push_back(errors);
  fitted.loss[part].push_back({loss[0], loss[1]});
  fitted.maps[part].push_back(std::move(map));
}

void take_head(Shape const& shape, Numbers numbers, std::size_t head, CalibrationData& data) {
  for (std::size_t part = 0; part < 2; ++part) {
    take_code_errors(numbers, part, 1, {}, data.coded[std::string{no_map}]);
    for (auto const& [name, family] : data.families) take_code_errors(numbers, part, shape.steps.size(), family.held_out[part][head], data.coded[name]);
    take_code_errors(numbers, part, 1, {}, data.mixed);
    for (std::int32_t const rank : shape.distill_ranks) take_distilled(numbers, part, rank, head, data);
  }
}

}   // namespace

void fit_heads(comm::World& world, double deadline_s, std::span<std::int32_t const> distill_ranks, Samples& samples, CalibrationData& data) {
  Shape const shape{data.facts.head_dim, shards::rank_steps(data.facts.head_dim), distill_ranks};
  std::int32_t const heads = data.facts.kv_heads;
  for (std::int32_t layer = 0; layer < data.facts.layers; ++layer) {
    auto const of_layer = samples.take(world, deadline_s, layer);
    LayerBits const bits = layer_bits(data, layer);
    std::vector<Numbers> fitted(static_cast<std::size_t>(heads));
#pragma omp parallel for schedule(dynamic)
    for (std::int32_t head = 0; head < heads; ++head) {
      std::size_t const at = static_cast<std::size_t>(layer * heads + head), in_layer = static_cast<std::size_t>(head);
      if (static_cast<int>(at) % world.size() == world.rank()) fitted[in_layer] = fit_head(shape, bits, of_layer[in_layer], data, at);
    }
    for (std::int32_t head = 0; head < heads; ++head) {
      std::size_t const at = static_cast<std::size_t>(layer * heads + head);
      auto const all = world.all_gather(std::as_bytes(std::span{fitted[static_cast<std::size_t>(head)].all()}), world.in(deadline_s));
      Numbers numbers;
      numbers.load(all[at % all.size()]);
      take_head(shape, std::move(numbers), at, data);
    }
  }
}

}   // namespace pikv::runtime
