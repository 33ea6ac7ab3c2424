#include "runtime/calibration/calibration_file.hpp"

#include <fmt/format.h>

#include <charconv>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <utility>

#include "comm/error.hpp"
#include "runtime/agree.hpp"
#include "runtime/apart.hpp"
#include "runtime/build_info.hpp"
#include "runtime/hdf5/array.hpp"
#include "runtime/hdf5/attribute.hpp"
#include "runtime/hdf5/input.hpp"
#include "runtime/output_file.hpp"

namespace pikv::runtime {
namespace {

using Sizes = std::initializer_list<std::size_t>;
template <typename T>
using OfHead = std::function<std::vector<T>&(std::size_t head)>;

constexpr std::array<char const*, 2> part_names{"keys", "values"};

/// Datasets [layers][kv_heads][sizes...], each of one vector per head, to a file or from one.
class Archive {
 public:
  Archive(hid_t file, CalibrationFacts const& facts, bool writes) : file_{file}, facts_{facts}, writes_{writes} {}

  template <typename T>
  void array(std::string const& path, Sizes sizes, OfHead<T> const& of_head) const {
    hdf5::Extent extent{static_cast<hsize_t>(facts_.layers), static_cast<hsize_t>(facts_.kv_heads)};
    extent.insert(extent.end(), sizes.begin(), sizes.end());
    if (writes_) write<T>(path, extent, of_head);
    else read<T>(path, extent, of_head);
  }

 private:
  template <typename T>
  void write(std::string const& path, hdf5::Extent const& extent, OfHead<T> const& of_head) const {
    std::vector<T> all;
    for (std::size_t head = 0; head < facts_.heads(); ++head) all.insert(all.end(), of_head(head).begin(), of_head(head).end());
    hdf5::write_array(file_, path, extent, std::span<T const>{all});
  }
  template <typename T>
  void read(std::string const& path, hdf5::Extent const& extent, OfHead<T> const& of_head) const {
    std::vector<T> all;
    if constexpr (std::is_same_v<T, float>) all = hdf5::read_floats(file_, path, extent);
    else all = hdf5::read_doubles(file_, path, extent);
    auto const each = static_cast<std::ptrdiff_t>(all.size() / facts_.heads());
    auto next = all.begin();
    for (std::size_t head = 0; head < facts_.heads(); ++head, next += each) of_head(head).assign(next, next + each);
  }

  hid_t file_;
  CalibrationFacts const& facts_;
  bool writes_;
};

void pass_moments(Archive const& archive, CalibrationData& data) {
  struct Field {
    char const* path;
    std::vector<double> HeadMoments::*member;
    bool matrix;
  };
  std::size_t const d = static_cast<std::size_t>(data.facts.head_dim);
  for (Field const& field : {Field{"/moments/keys/mean", &HeadMoments::k_mean, false}, Field{"/moments/keys/second", &HeadMoments::k_second, true},
                             Field{"/moments/values/mean", &HeadMoments::v_mean, false}, Field{"/moments/values/second", &HeadMoments::v_second, true},
                             Field{"/moments/queries/second", &HeadMoments::q_second, true}, Field{"/moments/outputs/gram", &HeadMoments::o_gram, true}}) {
    OfHead<double> const of_head = [&](std::size_t head) -> std::vector<double>& { return data.moments[head].*field.member; };
    if (field.matrix) archive.array<double>(field.path, {d, d}, of_head);
    else archive.array<double>(field.path, {d}, of_head);
  }
}

void pass_held_out(Archive const& archive, std::string const& path, std::size_t count, ByHead<HeldOut>& held_out) {
  for (std::size_t part = 0; part < 2; ++part) {
    std::string const where = fmt::format("{}/{}", path, part_names[part]);
    archive.array<double>(where + "/squared", {count}, [&](std::size_t head) -> auto& { return held_out[part][head].squared; });
    archive.array<double>(where + "/weighted", {count}, [&](std::size_t head) -> auto& { return held_out[part][head].weighted; });
  }
}

template <typename Map>
void pass_maps(Archive const& archive, std::string const& path, std::size_t rank, std::size_t d, ByHead<Map>& maps) {
  for (std::size_t part = 0; part < 2; ++part) {
    std::string const where = fmt::format("{}/{}", path, part_names[part]);
    archive.array<float>(where + "/encode", {rank, d}, [&](std::size_t head) -> auto& { return maps[part][head].encode; });
    archive.array<float>(where + "/decode", {d, rank}, [&](std::size_t head) -> auto& { return maps[part][head].decode; });
    archive.array<float>(where + "/mean", {d}, [&](std::size_t head) -> auto& { return maps[part][head].mean; });
  }
}

void pass_spectra(Archive const& archive, std::string const& path, std::size_t d, ByHead<FullMap>& maps) {
  for (std::size_t part = 0; part < 2; ++part)
    archive.array<double>(fmt::format("{}/{}/spectrum", path, part_names[part]), {d}, [&](std::size_t head) -> auto& { return maps[part][head].spectrum; });
}

/// Everything but the facts; on reading, the names and ranks in `data` say what to read.
void pass(Archive const& archive, CalibrationData& data) {
  std::size_t const d = static_cast<std::size_t>(data.facts.head_dim), steps = shards::rank_steps(data.facts.head_dim).size();
  pass_moments(archive, data);
  pass_held_out(archive, "/held_out_size", 1, data.held_out_size);
  for (auto& [name, family] : data.families) {
    pass_maps(archive, "/maps/" + name, d, d, family.maps);
    pass_spectra(archive, "/maps/" + name, d, family.maps);
    pass_held_out(archive, "/held_out/" + name, steps, family.held_out);
  }
  for (auto& [name, ranks] : data.fitted)
    for (auto& [rank, fitted] : ranks) {
      pass_maps(archive, fmt::format("/fitted/{}/{}", name, rank), static_cast<std::size_t>(rank), d, fitted.maps);
      pass_held_out(archive, fmt::format("/fitted/{}/{}/held_out", name, rank), 1, fitted.held_out);
      for (std::size_t part = 0; part < 2; ++part)
        archive.array<double>(fmt::format("/fitted/{}/{}/loss/{}", name, rank, part_names[part]), {2}, [&](std::size_t head) -> auto& { return fitted.loss[part][head]; });
    }
  for (auto& [name, errors] : data.coded)
    for (std::size_t i = 0; i < coded_bits.size(); ++i)
      pass_held_out(archive, fmt::format("/coded/{}/int{}", name, coded_bits[i]), name == no_map ? 1 : steps, errors[i]);
  for (std::size_t i = 0; i < mixed_means.size(); ++i) pass_held_out(archive, fmt::format("/mixed/{}", mixed_means[i]), 1, data.mixed[i]);
}

Attributes attributes_of(CalibrationFacts const& facts, std::string const& command) {
  return {{"calibration_format", calibration_format},
          {"version", version()},
          {"command", command},
          {"architecture", facts.architecture},
          {"layers", std::int64_t{facts.layers}},
          {"q_heads", std::int64_t{facts.q_heads}},
          {"kv_heads", std::int64_t{facts.kv_heads}},
          {"head_dim", std::int64_t{facts.head_dim}},
          {"fingerprint", fmt::format("{:016x}{:016x}", facts.fingerprint.hi, facts.fingerprint.lo)},
          {"tokens", facts.tokens},
          {"held_out_tokens", facts.held_out_tokens},
          {"windows", std::int64_t{facts.windows}},
          {"window", std::int64_t{facts.window}},
          {"text", facts.text}};
}

std::int64_t counted_in(Attributes const& about, std::string const& name, std::int64_t most) {
  auto const value = number_in(about, name, 0);
  if (value < 1 || value > most) throw RunError(fmt::format("its attribute {} is missing or out of range", name));
  return value;
}

shards::Fingerprint fingerprint_in(std::string const& digits) {
  shards::Fingerprint fingerprint;
  auto const half = [&](std::size_t at, std::uint64_t& into) {
    return digits.size() == 32 && std::from_chars(digits.data() + at, digits.data() + at + 16, into, 16).ptr == digits.data() + at + 16;
  };
  if (!half(0, fingerprint.hi) || !half(16, fingerprint.lo)) throw RunError("its fingerprint is not 32 hexadecimal digits");
  return fingerprint;
}

CalibrationFacts facts_in(hid_t file, std::uint64_t file_bytes) {
  Attributes const about = hdf5::read_attributes(file);
  auto const format = number_in(about, "calibration_format", 0);
  if (format == 0) throw RunError("it is no calibration");
  if (format != calibration_format) throw RunError(fmt::format("it is of format {}, this version reads {}", format, calibration_format));
  auto const count = [&](char const* name) { return static_cast<std::int32_t>(counted_in(about, name, 1 << 16)); };
  CalibrationFacts facts{.architecture = text_in(about, "architecture"),
                         .layers = count("layers"),
                         .q_heads = count("q_heads"),
                         .kv_heads = count("kv_heads"),
                         .head_dim = count("head_dim"),
                         .fingerprint = fingerprint_in(text_in(about, "fingerprint")),
                         .tokens = counted_in(about, "tokens", INT64_MAX),
                         .held_out_tokens = counted_in(about, "held_out_tokens", INT64_MAX),
                         .windows = count("windows"),
                         .window = static_cast<std::int32_t>(counted_in(about, "window", INT32_MAX)),
                         .text = text_in(about, "text")};
  std::uint64_t const d = static_cast<std::uint64_t>(facts.head_dim);
  if (facts.heads() > file_bytes / (d * d * sizeof(float))) throw RunError("it claims more heads than it could hold");
  return facts;
}

template <typename T>
void make_room(ByHead<T>& by_head, std::size_t heads, T const& of_head = {}) {
  for (auto& list : by_head) list.assign(heads, of_head);
}

std::int32_t rank_in(std::string const& name, std::int32_t head_dim) {
  std::int32_t rank = 0;
  auto const end = name.data() + name.size();
  if (std::from_chars(name.data(), end, rank).ptr != end || rank < 1 || rank > head_dim + 7) throw RunError(fmt::format("it has maps of a rank '{}'", name));
  return rank;
}

void make_room(hid_t file, CalibrationData& data) {
  std::size_t const heads = data.facts.heads();
  std::int32_t const d = data.facts.head_dim;
  HeadMoments moments;
  moments.head_dim = d;
  moments.tokens = static_cast<double>(data.facts.tokens);
  moments.queries = moments.tokens * (data.facts.q_heads / data.facts.kv_heads);
  data.moments.assign(heads, moments);
  make_room(data.held_out_size, heads);
  for (auto const& name : hdf5::members_of(file, "/maps")) {
    CalibratedFamily& family = data.families[name];
    make_room(family.maps, heads, {d, {}, {}, {}, {}});
    make_room(family.held_out, heads);
  }
  for (auto const& name : hdf5::members_of(file, "/fitted"))
    for (auto const& member : hdf5::members_of(file, "/fitted/" + name)) {
      std::int32_t const rank = rank_in(member, d);
      CalibratedRank& fitted = data.fitted[name][rank];
      make_room(fitted.maps, heads, {d, rank, {}, {}, {}});
      make_room(fitted.held_out, heads);
      make_room(fitted.loss, heads);
    }
  for (auto const& name : hdf5::members_of(file, "/coded"))
    for (auto& errors : data.coded[name]) make_room(errors, heads);
  for (auto& errors : data.mixed) make_room(errors, heads);
}

}   // namespace

void write_calibration(std::filesystem::path const& path, CalibrationData& data, std::string const& command) {
  hdf5::prepare();
  std::string const part = part_of(path).string();
  hdf5::File file{H5Fcreate(part.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), "make " + part};
  for (Attribute const& attribute : attributes_of(data.facts, command)) hdf5::write(file.get(), attribute);
  pass({file.get(), data.facts, true}, data);
  if (file.close() < 0) throw RunError(hdf5::failure("write " + part));
  publish(path);
}

CalibrationData read_calibration_here(std::filesystem::path const& path) {
  hdf5::prepare();
  hid_t const opened = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  if (opened < 0 && H5Fis_hdf5(path.c_str()) == 0) throw RunError("it is not an HDF5 file");
  hdf5::File const file{opened, "open it"};
  CalibrationData data;
  data.facts = facts_in(file.get(), std::filesystem::file_size(path));
  make_room(file.get(), data);
  pass({file.get(), data.facts, false}, data);
  return data;
}

namespace {

Calibration read_or_say(std::filesystem::path const& path, bool apart_first) {
  try {
    if (!std::filesystem::is_regular_file(path)) throw RunError("there is no such file");
    auto const limit_s = static_cast<unsigned>(20 + (std::filesystem::file_size(path) >> 20));
    if (apart_first) run_apart(limit_s, "HDF5 does not come to an end with it", [&] { (void)read_calibration_here(path); });
    return Calibration{read_calibration_here(path)};
  } catch (RunError const& error) {
    throw InputError(fmt::format("{} cannot be read as a calibration ({}); give a file that `pikv calibrate` of this version wrote", path.string(), error.what()));
  }
}

}   // namespace

Calibration Calibration::read(std::filesystem::path const& path) { return read_or_say(path, true); }

Calibration read_calibration(comm::World& world, double deadline_s, std::filesystem::path const& path, std::string const& said, Model const& model) {
  std::optional<Calibration> calibration;
  for (bool const first : {true, false})
    agree(world, patience * deadline_s, [&] {
      if (first != (world.rank() == 0)) return;
      calibration = read_or_say(path, first);
      calibration->check_model(model.config(), model.fingerprint(), said);
    });
  return std::move(*calibration);
}

}   // namespace pikv::runtime
