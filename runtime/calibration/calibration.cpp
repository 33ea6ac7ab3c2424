#include "runtime/calibration/calibration.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "comm/error.hpp"

namespace pikv::runtime {

std::vector<std::string> Calibration::names() const {
  std::vector<std::string> all;
  for (auto const& [name, family] : data_.families) all.push_back(name);
  for (auto const& [name, ranks] : data_.fitted) all.push_back(name);
  std::ranges::sort(all);
  return all;
}

void Calibration::check_model(ModelConfig const& config, shards::Fingerprint const& fingerprint, std::string const& said) const {
  CalibrationFacts const& of = facts();
  auto const refuse = [&](std::string const& why) {
    throw InputError(fmt::format("{} is the calibration of another model: {}; make one of this model with `pikv calibrate`", said, why));
  };
  if (of.architecture != config.architecture) refuse(fmt::format("it is a {}, this is a {}", of.architecture, config.architecture));
  struct Number {
    char const* what;
    std::int32_t its, this_ones;
  };
  for (Number const& number : {Number{"layers", of.layers, config.layers}, Number{"query heads", of.q_heads, config.q_heads},
                               Number{"KV heads", of.kv_heads, config.kv_heads}, Number{"numbers a head", of.head_dim, config.head_dim}})
    if (number.its != number.this_ones) refuse(fmt::format("it has {} {}, this has {}", number.its, number.what, number.this_ones));
  if (of.fingerprint != fingerprint)
    refuse(fmt::format("the same shape, other weights (fingerprint {:016x}{:016x}, this has {:016x}{:016x})", of.fingerprint.hi, of.fingerprint.lo,
                       fingerprint.hi, fingerprint.lo));
}

CalibratedFamily const& Calibration::family(std::string_view name) const {
  if (auto const found = data_.families.find(name); found != data_.families.end()) return found->second;
  throw InputError(fmt::format("the calibration has no maps named '{}'; it has: {}; make it anew with `pikv calibrate`", name, fmt::join(names(), ", ")));
}

CalibratedRank const& Calibration::fitted(std::string_view name, std::int32_t rank) const {
  auto const& ranks = data_.fitted.find(name)->second;
  if (auto const found = ranks.find(rank); found != ranks.end()) return found->second;
  std::vector<std::int32_t> there;
  for (auto const& [other, maps] : ranks) there.push_back(other);
  throw InputError(fmt::format("the calibration has maps {} of the ranks {}, not of {}; choose one of these, or make it anew with `pikv calibrate`", name,
                               fmt::join(there, ", "), rank));
}

FullMap const& Calibration::map(std::string_view name, Part part, std::int32_t layer, std::int32_t head) const {
  return family(name).maps[index(part)][at(layer, head)];
}

RankMap Calibration::map_of_rank(std::string_view name, Part part, std::int32_t layer, std::int32_t head, std::int32_t rank) const {
  if (data_.fitted.contains(name)) return fitted(name, rank).maps[index(part)][at(layer, head)];
  return shards::map_of_rank(map(name, part, layer, head), rank);
}

std::size_t Calibration::step_of(std::int32_t rank) const {
  auto const steps = shards::rank_steps(facts().head_dim);
  auto const step = std::ranges::find(steps, rank);
  if (step == steps.end()) throw InputError(fmt::format("the calibration has errors of the ranks {}, not of {}; choose one of these", fmt::join(steps, ", "), rank));
  return static_cast<std::size_t>(step - steps.begin());
}

MapError Calibration::held_out(std::string_view name, Part part, std::int32_t layer, std::int32_t head, std::int32_t rank) const {
  if (data_.fitted.contains(name)) return error(fitted(name, rank).held_out[index(part)][at(layer, head)], 0);
  return error(family(name).held_out[index(part)][at(layer, head)], step_of(rank));
}

MapError Calibration::held_out(std::string_view name, Part part, std::int32_t layer, std::int32_t head, std::int32_t rank, kernels::Element element) const {
  bool const whole = name == no_map;
  auto const bits = std::ranges::find(coded_bits, kernels::code_bits(element));
  if (bits == coded_bits.end()) return whole ? MapError{} : held_out(name, part, layer, head, rank);
  auto const found = data_.coded.find(name);
  if (found == data_.coded.end()) throw InputError(fmt::format("the calibration has no errors of codes over maps named '{}'", name));
  auto const& errors = found->second[static_cast<std::size_t>(bits - coded_bits.begin())][index(part)][at(layer, head)];
  return error(errors, whole ? 0 : step_of(rank));
}

MapError Calibration::held_out_mixed(Part part, std::int32_t layer, std::int32_t head, double mean_bits) const {
  auto const mean = std::ranges::find(mixed_means, mean_bits);
  if (mean == mixed_means.end()) throw InputError(fmt::format("the calibration has errors of {} mixed bits, not of {}; choose one of these", fmt::join(mixed_means, ", "), mean_bits));
  return error(data_.mixed[static_cast<std::size_t>(mean - mixed_means.begin())][index(part)][at(layer, head)], 0);
}

double Calibration::relative_error(std::string_view name, Part part, std::int32_t layer, std::int32_t head, std::int32_t rank, kernels::Element element) const {
  double const size = held_out_size(part, layer, head).squared;
  return size > 0 ? held_out(name, part, layer, head, rank, element).squared / size : 0;
}

}   // namespace pikv::runtime
