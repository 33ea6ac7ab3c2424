#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "runtime/model/mapped_file.hpp"

namespace pikv::runtime {

/// One tensor as the file has it: little-endian, row-major, at any alignment.
struct TensorEntry {
  std::string dtype;                  // "F32", "BF16", "I32" ...
  std::vector<std::int64_t> shape;    // empty: a scalar
  std::span<std::byte const> bytes;   // size: product(shape) times the size of dtype
};

/// One safetensors file: u64 header length, a JSON header {name: {"dtype", "shape", "data_offsets": [begin, end]}}, data.
/// The file is mapped and its header checked whole before use: length (at most 100 MB and inside the file), JSON, dtypes, offsets inside
/// the file, sizes that match shapes, no overlap (gaps are fine). Every complaint is an InputError naming file and tensor.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(std::filesystem::path const& path);

  std::map<std::string, TensorEntry> const& tensors() const { return tensors_; }

 private:
  MappedFile file_;
  std::map<std::string, TensorEntry> tensors_;
};

}   // namespace pikv::runtime
