#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace pikv::runtime {

/// Where a file is while it is not whole: NAME.part.
std::filesystem::path part_of(std::filesystem::path const& name);

/// Makes an empty NAME.part, to see before work starts that it can be made. Throws InputError that begins with `option` if it cannot, or
/// if NAME is something else than a regular file: renaming would replace it.
void open_part(std::filesystem::path const& name, std::string const& option);

/// NAME.part, closed and whole, becomes NAME and is there after a crash. Throws RunError.
void publish(std::filesystem::path const& name);

/// Text that appears under its name only when whole. Destroyed without commit(), it leaves NAME.part.
class OutputFile {
 public:
  /// `option`: what the user gave the name with, "--output". Throws InputError as open_part does.
  OutputFile(std::filesystem::path name, std::string const& option);

  void write(std::string_view text);   // RunError
  void commit();                       // RunError; the last call

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  [[noreturn]] void fail() const;

  std::filesystem::path name_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace pikv::runtime
