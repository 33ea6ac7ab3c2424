#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/coded.hpp"
#include "runtime/model/config.hpp"
#include "shards/codecs/map_error.hpp"
#include "shards/codecs/moments.hpp"
#include "shards/page.hpp"

namespace pikv::runtime {

using shards::FullMap;
using shards::HeadMoments;
using shards::MapError;
using shards::Part;
using shards::RankMap;

/// Which model was calibrated, and on how much text.
struct CalibrationFacts {
  std::string architecture;
  std::int32_t layers = 0, q_heads = 0, kv_heads = 0, head_dim = 0;
  shards::Fingerprint fingerprint;   // Model::fingerprint
  std::int64_t tokens = 0, held_out_tokens = 0;   // that moments, and held-out errors, are of
  std::int32_t windows = 0, window = 0;
  std::string text;                  // xxh3 of its ids, 16 hexadecimal digits
  std::size_t heads() const { return static_cast<std::size_t>(layers) * static_cast<std::size_t>(kv_heads); }
};

/// Something of keys and of values, in the order of Part, for each layer * kv_heads + head.
template <typename T>
using ByHead = std::array<std::vector<T>, 2>;

/// Mean squared errors of held-out tokens, as MapError, several of them.
struct HeldOut {
  std::vector<double> squared, weighted;
  void add(MapError const& error) {
    squared.push_back(error.squared);
    weighted.push_back(error.weighted);
  }
};

/// One family of maps (shards/codecs/maps.hpp). Held-out errors by rank_steps(head_dim).
struct CalibratedFamily {
  ByHead<FullMap> maps;
  ByHead<HeldOut> held_out;
};
/// Maps fitted for one rank; one held-out error, and what of attention is lost by the start and by the map (shards/codecs/maps/distill.hpp).
struct CalibratedRank {
  ByHead<RankMap> maps;
  ByHead<HeldOut> held_out;
  ByHead<std::vector<double>> loss;
};

/// The family of no map at all.
inline constexpr std::string_view no_map = "none";
/// Codes whose errors are measured, and those errors, the map's included: by rank_steps(head_dim), or of no map, one.
inline constexpr std::array<int, 3> coded_bits{8, 4, 3};
using CodedErrors = std::array<ByHead<HeldOut>, coded_bits.size()>;
/// Mean bits whose errors are measured, the map's included: of keys as shards::mixed_keys stores them, of values turned (rotate+mixed).
inline constexpr std::array<double, 5> mixed_means{2, 2.5, 3, 3.5, 4};
using MixedErrors = std::array<ByHead<HeldOut>, mixed_means.size()>;   // one entry each

/// What a calibration file holds (docs/calibration.md).
struct CalibrationData {
  CalibrationFacts facts;
  std::vector<HeadMoments> moments, held_out_moments;      // of the tokens for calibration, of those held out (these are not in the file)
  ByHead<HeldOut> held_out_size;                           // what keys and values of held-out tokens amount to: one entry
  std::map<std::string, CalibratedFamily, std::less<>> families;
  std::map<std::string, std::map<std::int32_t, CalibratedRank>, std::less<>> fitted;   // by name ("distill") and rank
  std::map<std::string, CodedErrors, std::less<>> coded;   // by name of a family
  MixedErrors mixed;
};

/// A calibration that can be trusted: of one model, whole, finite. Look-ups throw InputError for a name or rank that it does not have, naming those it has.
class Calibration {
 public:
  explicit Calibration(CalibrationData data) : data_{std::move(data)} {}
  /// Reads and checks a file that `pikv calibrate` wrote; first in a process of its own, since a damaged one may crash HDF5. Throws InputError.
  static Calibration read(std::filesystem::path const& path);

  /// Throws InputError that names what differs, if it is not of this model. `said`: what the user gave, "--calibration=c.h5".
  void check_model(ModelConfig const& config, shards::Fingerprint const& fingerprint, std::string const& said) const;

  CalibrationFacts const& facts() const { return data_.facts; }
  CalibrationData const& data() const { return data_; }
  HeadMoments const& moments(std::int32_t layer, std::int32_t head) const { return data_.moments[at(layer, head)]; }
  std::span<HeadMoments const> moments_of(std::int32_t layer, std::int32_t first_head, std::int32_t heads) const {
    return std::span{data_.moments}.subspan(at(layer, first_head), static_cast<std::size_t>(heads));
  }
  /// Of a family that has maps of all ranks.
  FullMap const& map(std::string_view name, Part part, std::int32_t layer, std::int32_t head) const;
  /// Of any family, also one that was fitted for this rank. rank: a multiple of 8, at most head_dim rounded up to one.
  RankMap map_of_rank(std::string_view name, Part part, std::int32_t layer, std::int32_t head, std::int32_t rank) const;
  /// Held-out errors: mean squares, absolute, and the size they are relative to. rank: one of rank_steps, or of those that were fitted.
  MapError held_out(std::string_view name, Part part, std::int32_t layer, std::int32_t head, std::int32_t rank) const;
  /// With integer codes on top, of a family that has maps of all ranks, or of no map ("none", rank head_dim); any other element adds nothing.
  MapError held_out(std::string_view name, Part part, std::int32_t layer, std::int32_t head, std::int32_t rank, kernels::Element element) const;
  /// Of mixed bits, one of mixed_means.
  MapError held_out_mixed(Part part, std::int32_t layer, std::int32_t head, double mean_bits) const;
  MapError held_out_size(Part part, std::int32_t layer, std::int32_t head) const { return error(data_.held_out_size[index(part)][at(layer, head)], 0); }
  /// |x - x^|^2 by |x|^2 of held-out tokens, what the drift check expects of pages; 0 where there is nothing.
  double relative_error(std::string_view name, Part part, std::int32_t layer, std::int32_t head, std::int32_t rank, kernels::Element element) const;
  std::vector<std::string> names() const;

 private:
  static MapError error(HeldOut const& held_out, std::size_t i) { return {held_out.squared[i], held_out.weighted[i]}; }
  static std::size_t index(Part part) { return static_cast<std::size_t>(part); }
  std::size_t at(std::int32_t layer, std::int32_t head) const { return static_cast<std::size_t>(layer * data_.facts.kv_heads + head); }
  std::size_t step_of(std::int32_t rank) const;
  CalibratedFamily const& family(std::string_view name) const;
  CalibratedRank const& fitted(std::string_view name, std::int32_t rank) const;

  CalibrationData data_;
};

}   // namespace pikv::runtime
