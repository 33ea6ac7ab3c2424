#include "runtime/hdf5/failure.hpp"

#include <hdf5.h>

namespace pikv::runtime::hdf5 {
namespace {

herr_t keep_innermost(unsigned depth, H5E_error2_t const* error, void* into) {
  if (depth == 0 && error->desc) *static_cast<std::string*>(into) = error->desc;
  return 0;
}

/// What the system said, where HDF5 quotes it: "... error message = 'No space left on device', buf = ...".
std::string system_message(std::string const& description) {
  std::string const before = "error message = '";
  auto const start = description.find(before);
  if (start == std::string::npos) return description;
  auto const first = start + before.size();
  return description.substr(first, description.find('\'', first) - first);
}

}  // namespace

void prepare() {
  H5dont_atexit();
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

std::string failure(std::string const& what) {
  std::string description;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, &description);
  std::string const reason = system_message(description);
  return "could not " + what + (reason.empty() ? "" : " (" + reason + ")");
}

}  // namespace pikv::runtime::hdf5
