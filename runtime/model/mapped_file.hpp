#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace pikv::runtime {

/// A regular file, mapped read-only. Its size is the one at opening: a file that someone cuts short while it is mapped kills the process,
/// so checkpoints are replaced by renaming, not by rewriting. InputError where it can't be opened or isn't a regular file.
class MappedFile {
 public:
  explicit MappedFile(std::filesystem::path const& path);
  ~MappedFile();
  MappedFile(MappedFile&& from) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;   // a file is opened once, where it is made

  std::span<std::byte const> bytes() const { return bytes_; }

 private:
  std::span<std::byte const> bytes_;
};

}   // namespace pikv::runtime
