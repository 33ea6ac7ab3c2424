#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "kernels/dtype.hpp"

namespace pikv::runtime {

/// One tensor of a memory-mapped file. `data` is aligned for its type (a misaligned one was copied).
struct TensorView {
  void const* data = nullptr;
  kernels::DType dtype = kernels::DType::f32;
  std::vector<std::int64_t> shape;
  std::int64_t count() const;
};

/// The tensors of a checkpoint folder: model.safetensors, or the shards that model.safetensors.index.json names.
/// Files are mapped read-only and checked whole before use: header size and JSON, dtypes, offsets inside the file, sizes that match
/// shapes, no overlap. Every complaint is an InputError naming file and tensor.
class Checkpoint {
 public:
  explicit Checkpoint(std::filesystem::path const& dir);
  ~Checkpoint();
  Checkpoint(Checkpoint&&) noexcept;

  bool has(std::string const& name) const { return tensors_.contains(name); }
  /// Checks the shape too; throws InputError with both shapes, or the missing name.
  TensorView const& tensor(std::string const& name, std::vector<std::int64_t> const& shape) const;
  std::map<std::string, TensorView> const& tensors() const { return tensors_; }

 private:
  struct Mapping;
  std::vector<Mapping> files_;
  std::vector<std::vector<std::byte>> copies_;
  std::map<std::string, TensorView> tensors_;
};

}  // namespace pikv::runtime
