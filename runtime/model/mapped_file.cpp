#include "runtime/model/mapped_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "comm/error.hpp"

namespace pikv::runtime {
namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

[[noreturn]] void fail(std::filesystem::path const& path, char const* verb) {
  throw InputError(fmt::format("could not {} {} ({}); check that it exists and may be read", verb, path.string(), std::strerror(errno)));
}

}   // namespace

MappedFile::MappedFile(std::filesystem::path const& path) {
  Descriptor const file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) fail(path, "open");
  struct stat status {};
  if (::fstat(file.fd, &status) != 0) fail(path, "examine");
  if (!S_ISREG(status.st_mode)) throw InputError(path.string() + " is not a regular file; give the folder of a checkpoint");
  if (status.st_size == 0) return;
  auto const size = static_cast<std::size_t>(status.st_size);
  void* const start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (start == MAP_FAILED) fail(path, "map");
  bytes_ = {static_cast<std::byte const*>(start), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

MappedFile::MappedFile(MappedFile&& from) noexcept : bytes_{std::exchange(from.bytes_, {})} {}

}   // namespace pikv::runtime
