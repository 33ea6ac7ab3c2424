#pragma once

#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/model/safetensors.hpp"

namespace pikv::test {

/// tests/data of the source tree.
inline std::filesystem::path data_folder() { return PIKV_TEST_DATA; }
/// data/ of the source tree: the embedded model, sample prompts, held-out text.
inline std::filesystem::path embedded_folder() { return PIKV_EMBEDDED_DATA; }

/// Tensors that another implementation computed, read from one safetensors file. A name or type that is not there throws.
class ReferenceData {
 public:
  explicit ReferenceData(std::filesystem::path const& path) : file_{path} {}

  bool has(std::string const& name) const { return file_.tensors().contains(name); }
  std::vector<std::int64_t> const& shape(std::string const& name) const { return file_.tensors().at(name).shape; }
  std::vector<float> floats(std::string const& name) const { return values<float>(name, "F32"); }
  std::vector<std::int32_t> ints(std::string const& name) const { return values<std::int32_t>(name, "I32"); }

 private:
  template <class T>
  std::vector<T> values(std::string const& name, std::string const& dtype) const {
    auto const& tensor = file_.tensors().at(name);
    if (tensor.dtype != dtype) throw std::runtime_error(name + " is " + tensor.dtype + ", not " + dtype);
    std::vector<T> values(tensor.bytes.size() / sizeof(T));
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
    return values;
  }

  runtime::SafetensorsFile file_;
};

}   // namespace pikv::test
