#include "runtime/logits_file.hpp"

#include <fmt/core.h>

#include <array>
#include <utility>

#include "runtime/hdf5/handle.hpp"
#include "runtime/output_file.hpp"

namespace pikv::runtime {

struct LogitsFile::File {
  explicit File(std::string const& part)
      : file{H5Fcreate(part.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), "make " + part},
        make_groups{H5Pcreate(H5P_LINK_CREATE), "make link properties"} {
    H5Pset_create_intermediate_group(make_groups.get(), 1);
  }
  hdf5::File file;
  hdf5::Properties make_groups;
};

LogitsFile::LogitsFile(std::filesystem::path name, std::int32_t vocab) : name_{std::move(name)}, vocab_{vocab} {
  open_part(name_, "--logits");
  hdf5::prepare();
  file_ = std::make_unique<File>(part_of(name_).string());
}

LogitsFile::~LogitsFile() = default;

void LogitsFile::write(Result const& result) {
  std::array<hsize_t, 2> const shape{result.tokens.size(), static_cast<hsize_t>(vocab_)};
  std::string const where = fmt::format("/request/{}/logits", result.index);
  hdf5::Space const space{H5Screate_simple(2, shape.data(), nullptr), "make a space"};
  hdf5::Dataset const dataset{H5Dcreate2(file_->file.get(), where.c_str(), H5T_IEEE_F32LE, space.get(), file_->make_groups.get(),
                                         H5P_DEFAULT, H5P_DEFAULT),
                              "make " + where + " in " + part_of(name_).string()};
  if (H5Dwrite(dataset.get(), H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, result.logits.data()) < 0)
    throw RunError(hdf5::failure("write " + where + " to " + part_of(name_).string()));
}

void LogitsFile::commit() {
  hdf5::File file{std::move(file_->file)};
  file_.reset();
  if (file.close() < 0) throw RunError(hdf5::failure("close " + part_of(name_).string()));
  publish(name_);
}

}  // namespace pikv::runtime
