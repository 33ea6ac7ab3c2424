#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "runtime/request.hpp"

namespace pikv::runtime {

/// `--logits`: HDF5 with /request/<input index>/logits, f32 [generated, vocab]; row 0 is what follows the last prompt token. For rank 0
/// alone. Appears under its name only when whole; destroyed without commit(), it leaves NAME.part.
class LogitsFile {
 public:
  /// Throws InputError if NAME.part cannot be made.
  LogitsFile(std::filesystem::path name, std::int32_t vocab);
  ~LogitsFile();

  /// `result.logits` holds tokens.size() * vocab values. Throws RunError.
  void write(Result const& result);
  void commit();   // RunError; the last call

 private:
  struct File;
  std::filesystem::path name_;
  std::int32_t vocab_;
  std::unique_ptr<File> file_;
};

}  // namespace pikv::runtime
