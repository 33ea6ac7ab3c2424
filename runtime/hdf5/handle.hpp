#pragma once

#include <hdf5.h>

#include <string>
#include <utility>

#include "comm/error.hpp"
#include "runtime/hdf5/failure.hpp"

namespace pikv::runtime::hdf5 {

/// Owns one HDF5 id. Closing a parallel file is collective: open it and let it go on every rank alike.
template <herr_t (*Close)(hid_t)>
class Handle {
 public:
  /// Throws RunError "could not `what` (reason)" if the call that made the id failed.
  Handle(hid_t id, std::string const& what) : id_{id} {
    if (id < 0) throw RunError(failure(what));
  }
  Handle(Handle&& from) noexcept : id_{std::exchange(from.id_, H5I_INVALID_HID)} {}
  Handle& operator=(Handle&&) = delete;   // nothing needs it, and it would close at a place that is easy to miss
  ~Handle() {
    if (id_ >= 0) Close(id_);
  }
  hid_t get() const { return id_; }
  /// Forgets the id: for when closing would wait for other ranks, or has failed already (HDF5 then crashes on a second try).
  void abandon() { id_ = H5I_INVALID_HID; }
  /// Closes now, so that the failure can be seen.
  herr_t close() { return Close(std::exchange(id_, H5I_INVALID_HID)); }

 private:
  hid_t id_;
};

using File = Handle<H5Fclose>;
using Group = Handle<H5Gclose>;
using Dataset = Handle<H5Dclose>;
using Space = Handle<H5Sclose>;
using Type = Handle<H5Tclose>;
using Properties = Handle<H5Pclose>;
using AttributeHandle = Handle<H5Aclose>;

}  // namespace pikv::runtime::hdf5
