#pragma once

#include <sys/resource.h>

#include <csignal>
#include <string>

#include "comm/error.hpp"
#include "runtime/agree.hpp"
#include "sample_rows.hpp"

namespace pikv::runtime::test {

/// "InputError: ...", "RunError: ..." or, agreed on by ranks, "code 2: ..." as `body` threw it, else "no error".
std::string error_of(auto const& body) {
  try {
    body();
  } catch (InputError const& error) {
    return std::string{"InputError: "} + error.what();
  } catch (RunError const& error) {
    return std::string{"RunError: "} + error.what();
  } catch (AgreedError const& error) {
    return "code " + std::to_string(error.code) + ": " + error.what();
  }
  return "no error";
}

/// What this rank sees when the trace cannot be made at `name`.
inline std::string error_of_making(comm::World& world, std::string const& name) {
  return error_of([&] { TraceWriter const trace{world, name, sample_metadata(world.rank())}; });
}

inline void write_and_close(comm::World& world, std::string const& name, std::int64_t steps) {
  TraceWriter trace{world, name, sample_metadata(world.rank())};
  add_sample(trace, world.rank(), world.size(), steps);
  trace.close("finished");
}

/// Writes two batches and lets go without closing.
inline void write_and_fail(comm::World& world, std::string const& name) {
  TraceWriter trace{world, name, sample_metadata(world.rank())};
  add_sample(trace, world.rank(), world.size(), 128);
}

/// While it lives, no file of this process grows past `bytes`: a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit const now{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &now);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }
  FileSizeLimit(FileSizeLimit const&) = delete;

 private:
  rlimit before_{};
};

}  // namespace pikv::runtime::test
