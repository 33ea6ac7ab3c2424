#include "runtime/output_file.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "comm/error.hpp"

namespace pikv::runtime {
namespace fs = std::filesystem;
namespace {

fs::path folder_of(fs::path const& name) { return name.has_parent_path() ? name.parent_path() : fs::path{"."}; }

/// Waits until a file or folder is on the disk; false with errno set.
bool sync_to_disk(fs::path const& path) {
  int const file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  bool const done = ::fsync(file) == 0;
  int const reason = errno;
  ::close(file);
  errno = reason;
  return done;
}

}  // namespace

fs::path part_of(fs::path const& name) { return name.string() + ".part"; }

void open_part(fs::path const& name, std::string const& option) {
  std::error_code ignored;
  if (auto const there = fs::status(name, ignored); fs::exists(there) && !fs::is_regular_file(there))
    throw InputError(fmt::format("{}={} is there and is not a regular file; give another name", option, name.string()));
  if (std::error_code why; !fs::is_directory(folder_of(name), why) && (!why || why == std::errc::no_such_file_or_directory || why == std::errc::not_a_directory))
    throw InputError(fmt::format("{}={}: there is no folder {}; make it, or give another name", option, name.string(), folder_of(name).string()));
  int const file = ::open(part_of(name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0)
    throw InputError(fmt::format("{}={}: {} cannot be made ({}); give another name", option, name.string(), part_of(name).string(),
                                 std::strerror(errno)));
  ::close(file);
}

void publish(fs::path const& name) {
  fs::path const part = part_of(name);
  bool const done = sync_to_disk(part) && std::rename(part.c_str(), name.c_str()) == 0 && sync_to_disk(folder_of(name));
  if (!done)
    throw RunError(fmt::format("could not finish {} ({}); what was written is in {}", name.string(), std::strerror(errno), part.string()));
}

OutputFile::OutputFile(fs::path name, std::string const& option) : name_{std::move(name)} {
  open_part(name_, option);
  file_.reset(std::fopen(part_of(name_).c_str(), "w"));
  if (!file_) fail();
}

void OutputFile::write(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size()) fail();
}

void OutputFile::commit() {
  if (std::fclose(file_.release()) != 0) fail();
  publish(name_);
}

void OutputFile::fail() const {
  throw RunError(fmt::format("could not write {} ({}); free some space or give another name", part_of(name_).string(), std::strerror(errno)));
}

}  // namespace pikv::runtime
