#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "kernels/dtype.hpp"
#include "runtime/model/safetensors.hpp"

namespace pikv::runtime {

/// One tensor of a checkpoint. `data` is aligned for its type (a misaligned one was copied).
struct TensorView {
  void const* data = nullptr;
  kernels::DType dtype = kernels::DType::f32;
  std::vector<std::int64_t> shape;
  std::int64_t count() const;
};

/// The tensors of a checkpoint folder: model.safetensors, or the shards that model.safetensors.index.json names. All must be BF16, F16
/// or F32. Every complaint (also of safetensors.hpp) is an InputError naming file and tensor.
class Checkpoint {
 public:
  explicit Checkpoint(std::filesystem::path const& dir);

  std::filesystem::path const& dir() const { return dir_; }
  bool has(std::string const& name) const { return tensors_.contains(name); }
  /// Checks the shape too; throws InputError with both shapes, or the missing name.
  TensorView const& tensor(std::string const& name, std::vector<std::int64_t> const& shape) const;
  std::map<std::string, TensorView> const& tensors() const { return tensors_; }

 private:
  void add(std::filesystem::path const& path, std::string const& name, TensorEntry const& entry);
  void read_shards(std::filesystem::path const& index);

  std::filesystem::path dir_;
  std::map<std::string, SafetensorsFile> files_;   // by name in the folder
  std::vector<std::vector<std::byte>> copies_;
  std::map<std::string, TensorView> tensors_;
};

}   // namespace pikv::runtime
