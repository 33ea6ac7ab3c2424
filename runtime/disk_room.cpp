#include "runtime/disk_room.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "comm/error.hpp"

namespace pikv::runtime {

namespace {
constexpr off_t metadata_bytes = 1 << 20;   // more than chunks rounded up and HDF5's own records add to a file in a batch
}

void make_room(std::filesystem::path const& path, std::size_t bytes) {
  int const file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  struct stat now {};
  rlimit most{};
  bool made = file >= 0 && ::fstat(file, &now) == 0 && ::getrlimit(RLIMIT_FSIZE, &most) == 0;
  off_t const more = static_cast<off_t>(bytes) + metadata_bytes;
  if (made && most.rlim_cur != RLIM_INFINITY && static_cast<rlim_t>(now.st_size + more) > most.rlim_cur) {
    made = false;
    errno = EFBIG;
  } else if (made) {
    do made = ::fallocate(file, FALLOC_FL_KEEP_SIZE, now.st_size, more) == 0;
    while (!made && errno == EINTR);
    made = made || errno == EOPNOTSUPP || errno == ENOSYS;
  }
  std::string const reason = std::strerror(errno);
  if (file >= 0) ::close(file);
  if (!made) throw RunError(fmt::format("could not make room for {} more bytes of {} ({}); free some space or give another name", more,
                                 path.string(), reason));
}

}  // namespace pikv::runtime
