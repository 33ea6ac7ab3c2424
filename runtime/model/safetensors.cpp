#include "runtime/model/safetensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>

#include "comm/error.hpp"
#include "runtime/model/json.hpp"

namespace pikv::runtime {
namespace {

using Json = nlohmann::json;
constexpr std::uint64_t largest_header = 100'000'000;
constexpr char const* remedy = "the file is damaged or cut short, copy it again";

std::map<std::string_view, std::uint64_t> const dtype_bytes{{"F64", 8},     {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F8_E4M3", 1},
                                                            {"F8_E5M2", 1}, {"I64", 8}, {"I32", 4}, {"I16", 2},  {"I8", 1},
                                                            {"U64", 8},     {"U32", 4}, {"U16", 2}, {"U8", 1},   {"BOOL", 1}};

class HeaderReader {
 public:
  HeaderReader(std::string file, std::span<std::byte const> data) : file_{std::move(file)}, data_{data} {}

  TensorEntry entry(std::string const& name, Json const& json) const {
    if (!json.is_object()) fail(name, "is not described by an object");
    TensorEntry made{.dtype = dtype(name, json), .shape = shape(name, json), .bytes = bytes(name, json)};
    std::uint64_t size = dtype_bytes.at(made.dtype);
    for (std::int64_t const extent : made.shape)
      if (__builtin_mul_overflow(size, static_cast<std::uint64_t>(extent), &size)) fail(name, "has a shape too large to count");
    if (size != made.bytes.size()) fail(name, fmt::format("takes {} bytes by its shape and dtype, but its offsets span {}", size, made.bytes.size()));
    return made;
  }

  void check_overlap(std::map<std::string, TensorEntry> const& tensors) const {
    std::vector<std::pair<std::string const, TensorEntry> const*> by_place;
    for (auto const& named : tensors)
      if (!named.second.bytes.empty()) by_place.push_back(&named);
    std::ranges::sort(by_place, {}, [](auto const* named) { return named->second.bytes.data(); });
    for (std::size_t i = 1; i < by_place.size(); ++i) {
      auto const before = by_place[i - 1]->second.bytes;
      if (by_place[i]->second.bytes.data() < before.data() + before.size())
        fail(by_place[i]->first, fmt::format("overlaps tensor '{}'", by_place[i - 1]->first));
    }
  }

 private:
  [[noreturn]] void fail(std::string const& name, std::string const& why) const {
    throw InputError(fmt::format("{}: tensor '{}' {}; {}", file_, name, why, remedy));
  }

  std::string dtype(std::string const& name, Json const& json) const {
    auto const found = json.find("dtype");
    if (found == json.end() || !found->is_string()) fail(name, "has no dtype");
    auto const& dtype = found->get_ref<std::string const&>();
    if (!dtype_bytes.contains(dtype)) fail(name, fmt::format("has the unknown dtype '{}'", dtype));
    return dtype;
  }

  std::vector<std::int64_t> shape(std::string const& name, Json const& json) const {
    std::vector<std::int64_t> shape;
    for (std::uint64_t const extent : counts(name, json, "shape")) {
      if (extent > std::numeric_limits<std::int64_t>::max()) fail(name, "has a shape too large to count");
      shape.push_back(static_cast<std::int64_t>(extent));
    }
    return shape;
  }

  std::span<std::byte const> bytes(std::string const& name, Json const& json) const {
    auto const offsets = counts(name, json, "data_offsets");
    if (offsets.size() != 2 || offsets[0] > offsets[1]) fail(name, "has data_offsets that are not [begin, end]");
    if (offsets[1] > data_.size()) fail(name, fmt::format("ends at byte {} of {} bytes of data", offsets[1], data_.size()));
    return data_.subspan(offsets[0], offsets[1] - offsets[0]);
  }

  std::vector<std::uint64_t> counts(std::string const& name, Json const& json, char const* key) const {
    auto const found = json.find(key);
    bool const good = found != json.end() && found->is_array() && std::ranges::all_of(*found, [](Json const& n) { return n.is_number_unsigned(); });
    if (!good) fail(name, fmt::format("has no {} made of whole numbers >= 0", key));
    return found->get<std::vector<std::uint64_t>>();
  }

  std::string file_;
  std::span<std::byte const> data_;
};

}   // namespace

SafetensorsFile::SafetensorsFile(std::filesystem::path const& path) : file_{path} {
  auto const file = file_.bytes();
  std::uint64_t length = 0;
  if (file.size() < sizeof length)
    throw InputError(fmt::format("{} has {} bytes, too few for a safetensors file; {}", path.string(), file.size(), remedy));
  std::memcpy(&length, file.data(), sizeof length);
  auto const body = file.subspan(sizeof length);
  if (length > std::min<std::uint64_t>(body.size(), largest_header))
    throw InputError(fmt::format("{} announces a header of {} bytes in a file of {}; it is no safetensors file, or {}", path.string(), length,
                                 file.size(), remedy));

  std::string_view const text{reinterpret_cast<char const*>(body.data()), length};
  Json const header = parse_json(text, "the header of " + path.string());
  if (!header.is_object()) throw InputError(fmt::format("the header of {} is not a JSON object; {}", path.string(), remedy));
  HeaderReader const reader{path.string(), body.subspan(length)};
  for (auto const& [name, entry] : header.items())
    if (name != "__metadata__") tensors_.emplace(name, reader.entry(name, entry));
  reader.check_overlap(tensors_);
}

}   // namespace pikv::runtime
