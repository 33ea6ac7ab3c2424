#include "runtime/hdf5/row_type.hpp"

#include <cstring>
#include <utility>

namespace pikv::runtime::hdf5 {

RowType& RowType::add_field(std::string name, Scalar scalar, std::size_t offset, std::size_t bytes) {
  fields_.push_back({std::move(name), scalar, offset, bytes, {}});
  row_bytes_ += bytes;
  if (!runs_.empty() && runs_.back().offset + runs_.back().bytes == offset)
    runs_.back().bytes += bytes;
  else
    runs_.push_back({offset, bytes});
  return *this;
}

void RowType::pack(void const* row, std::byte* into) const {
  for (Run const& run : runs_) {
    std::memcpy(into, static_cast<std::byte const*>(row) + run.offset, run.bytes);
    into += run.bytes;
  }
}

void RowBuffer::add(void const* row) {
  std::size_t const end = bytes_.size();
  bytes_.resize(end + type_.row_bytes());
  type_.pack(row, bytes_.data() + end);
}

}  // namespace pikv::runtime::hdf5
