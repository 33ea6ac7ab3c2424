#include <fcntl.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "comm/error.hpp"
#include "shards/tier.hpp"

namespace pikv::shards {
namespace {

class File {
 public:
  explicit File(std::string const& folder) : folder_{folder} {
    std::string name = folder + "/pikv-tier-XXXXXX";
    file_ = ::mkostemp(name.data(), O_CLOEXEC);
    int reason = file_ < 0 ? errno : 0;
    if (file_ >= 0 && ::unlink(name.c_str()) != 0) {
      reason = errno;
      ::close(file_);
    }
    if (reason != 0)
      throw InputError("no file for pages can be made in " + folder + " (" + std::strerror(reason) + "); give a folder that can be written to as --tier-dir");
  }
  ~File() { ::close(file_); }
  File(File const&) = delete;   // it would close twice
  File& operator=(File const&) = delete;

  void write(off_t at, PageHeader const& header, std::span<std::byte const> payload) {
    auto const end = static_cast<rlim_t>(at) + header_bytes + payload.size();
    rlimit most{};   // a write beyond it would end the process by a signal
    if (::getrlimit(RLIMIT_FSIZE, &most) == 0 && most.rlim_cur != RLIM_INFINITY && end > most.rlim_cur) fail(EFBIG);
    std::array<iovec, 2> parts{{{const_cast<PageHeader*>(&header), header_bytes}, {const_cast<std::byte*>(payload.data()), payload.size()}}};
    if (int const error = transfer(::pwritev, at, parts); error != 0) fail(error);
  }
  bool read(off_t at, PageHeader& header, std::span<std::byte> payload) {
    std::array<iovec, 2> parts{{{&header, header_bytes}, {payload.data(), payload.size()}}};
    return transfer(::preadv, at, parts) == 0;
  }

 private:
  template <typename Call>
  int transfer(Call call, off_t at, std::array<iovec, 2> parts) const {
    std::size_t next = 0;
    while (next < parts.size()) {
      ssize_t moved = call(file_, parts.data() + next, static_cast<int>(parts.size() - next), at);
      if (moved < 0 && errno == EINTR) continue;
      if (moved < 0) return errno;
      if (moved == 0) return EIO;   // the file ends
      at += moved;
      for (; next < parts.size() && static_cast<std::size_t>(moved) >= parts[next].iov_len; ++next) moved -= static_cast<ssize_t>(parts[next].iov_len);
      if (next == parts.size()) break;
      parts[next].iov_base = static_cast<std::byte*>(parts[next].iov_base) + moved;
      parts[next].iov_len -= static_cast<std::size_t>(moved);
    }
    return 0;
  }
  [[noreturn]] void fail(int error) const {
    throw RunError("a page could not be written to the tier in " + folder_ + " (" + std::strerror(error) +
                   "); free some space there, give another --tier-dir, or a larger --tier-host");
  }

  std::string folder_;
  int file_ = -1;
};

class FileTier final : public Tier {
 public:
  FileTier(std::size_t payload_bytes, std::string const& folder) : page_bytes_{header_bytes + payload_bytes}, file_{folder} {}

  std::int64_t put(PageHeader const& header, std::span<std::byte const> payload) override {
    std::int64_t const place = places_.take();
    file_.write(offset(place), header, payload);
    return place;
  }
  bool get(std::int64_t place, PageHeader& header, std::span<std::byte> payload) override {
    return places_.holds(place) && file_.read(offset(place), header, payload);
  }
  void erase(std::int64_t place) override { places_.give_back(place); }
  std::size_t pages() const override { return places_.used(); }
  std::size_t room() const override { return std::numeric_limits<std::int32_t>::max(); }   // until the disk is full
  std::size_t bytes() const override { return places_.used() * page_bytes_; }

 private:
  off_t offset(std::int64_t place) const { return static_cast<off_t>(place) * static_cast<off_t>(page_bytes_); }

  std::size_t page_bytes_;
  File file_;
  Places places_;
};

}  // namespace

std::unique_ptr<Tier> make_file_tier(std::size_t payload_bytes, std::string const& folder) { return std::make_unique<FileTier>(payload_bytes, folder); }

}  // namespace pikv::shards
