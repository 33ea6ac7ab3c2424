#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "comm/error.hpp"

namespace pikv::test {

/// An empty folder of its own, gone at the end of the test.
class ScratchFolder {
 public:
  ScratchFolder() { std::filesystem::create_directories(path_); }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(ScratchFolder const&) = delete;   // it owns the folder
  std::filesystem::path const& path() const { return path_; }

 private:
  static inline std::atomic<int> count{0};
  std::filesystem::path path_ = std::filesystem::temp_directory_path() / ("pikv-" + std::to_string(::getpid()) + "-" + std::to_string(count++));
};

inline std::string read_file(std::filesystem::path const& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

inline std::filesystem::path write_file(std::filesystem::path const& path, std::string const& content) {
  std::ofstream{path, std::ios::binary} << content;
  return path;
}

/// A safetensors file with the given header and data; `announced` overrides the header's length.
inline std::string safetensors(std::string const& header, std::string const& data, std::uint64_t announced) {
  std::string file(sizeof announced, '\0');
  std::memcpy(file.data(), &announced, sizeof announced);
  return file + header + data;
}
inline std::string safetensors(std::string const& header, std::string const& data) { return safetensors(header, data, header.size()); }

/// The sentence of the InputError that `run` throws; says so where it throws none.
template <class Run>
std::string complaint(Run run) {
  try {
    run();
  } catch (InputError const& error) {
    return error.what();
  }
  return "(no complaint)";
}

}   // namespace pikv::test
