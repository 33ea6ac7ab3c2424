#include "runtime/model/checkpoint.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string_view>

#include "comm/error.hpp"
#include "runtime/model/json.hpp"

namespace pikv::runtime {
namespace {

std::map<std::string_view, kernels::DType> const weight_types{
    {"F32", kernels::DType::f32}, {"BF16", kernels::DType::bf16}, {"F16", kernels::DType::f16}};

bool names_a_file_of_the_folder(std::string const& file) {
  return !file.empty() && file != "." && file != ".." && file.find('/') == std::string::npos && file.find('\0') == std::string::npos;
}

}   // namespace

std::int64_t TensorView::count() const { return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>{}); }

Checkpoint::Checkpoint(std::filesystem::path const& dir) : dir_{dir} {
  char const* const single = "model.safetensors";
  auto const index = dir / "model.safetensors.index.json";
  std::error_code unreadable;   // opening it says why
  if (std::filesystem::exists(dir / single, unreadable) || unreadable) {
    auto const& file = files_.emplace(single, dir / single).first->second;
    for (auto const& [name, entry] : file.tensors()) add(dir / single, name, entry);
  } else if (std::filesystem::exists(index, unreadable) || unreadable) {
    read_shards(index);
  } else {
    throw InputError(
        fmt::format("{} holds neither {} nor {}; give a folder with weights in safetensors form", dir.string(), single, index.filename().string()));
  }
}

void Checkpoint::read_shards(std::filesystem::path const& index) {
  MappedFile const text{index};
  auto const json = parse_json({reinterpret_cast<char const*>(text.bytes().data()), text.bytes().size()}, index.string());
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
    throw InputError(index.string() + " has no object \"weight_map\"; copy it again");
  for (auto const& [name, value] : json["weight_map"].items()) {
    auto const file = value.is_string() ? value.get<std::string>() : "";
    if (!names_a_file_of_the_folder(file))
      throw InputError(fmt::format("{}: tensor '{}' is not mapped to the name of a file in the same folder; copy it again", index.string(), name));
    auto const& tensors = files_.try_emplace(file, dir_ / file).first->second.tensors();
    auto const found = tensors.find(name);
    if (found == tensors.end())
      throw InputError(
          fmt::format("{} has no tensor '{}', which {} says it holds; copy both again", (dir_ / file).string(), name, index.filename().string()));
    add(dir_ / file, name, found->second);
  }
}

void Checkpoint::add(std::filesystem::path const& path, std::string const& name, TensorEntry const& entry) {
  auto const type = weight_types.find(entry.dtype);
  if (type == weight_types.end())
    throw InputError(fmt::format("{}: tensor '{}' has dtype {}, which is not supported; convert the checkpoint to BF16, F16 or F32", path.string(),
                                 name, entry.dtype));
  void const* data = entry.bytes.data();
  if (reinterpret_cast<std::uintptr_t>(data) % kernels::size_of(type->second) != 0) {
    copies_.emplace_back(entry.bytes.begin(), entry.bytes.end());
    data = copies_.back().data();
  }
  tensors_.emplace(name, TensorView{data, type->second, entry.shape});
}

TensorView const& Checkpoint::tensor(std::string const& name, std::vector<std::int64_t> const& shape) const {
  auto const found = tensors_.find(name);
  if (found == tensors_.end())
    throw InputError(fmt::format("{} has no tensor '{}', which its config.json asks for; copy the checkpoint again", dir_.string(), name));
  if (found->second.shape != shape)
    throw InputError(fmt::format("{}: tensor '{}' has shape {}, but its config.json asks for {}; the two do not belong together", dir_.string(), name,
                                 fmt::join(found->second.shape, "x"), fmt::join(shape, "x")));
  return found->second;
}

}   // namespace pikv::runtime
