#include "runtime/fidelity/sweep_file.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "comm/error.hpp"
#include "runtime/apart.hpp"
#include "runtime/build_info.hpp"
#include "runtime/hdf5/attribute.hpp"
#include "runtime/hdf5/input.hpp"
#include "runtime/hdf5/table.hpp"
#include "runtime/output_file.hpp"

namespace pikv::runtime {

namespace {

constexpr std::int64_t format = 3;   // 2 had no tasks, 1 room for 32 letters of a codec

void write_table(hid_t file, char const* name, hdf5::RowType const& type, auto const& rows) {
  hdf5::Table table{file, name, type, std::clamp<std::size_t>(rows.size(), 1, 4096)};
  hdf5::RowBuffer packed{type, rows.size()};
  for (auto const& row : rows) packed.add(&row);
  table.grow(rows.size());
  table.write(packed.bytes(), 0, H5P_DEFAULT);
}

SweepFile read_whole(std::filesystem::path const& path) {
  hdf5::prepare();
  hdf5::File const file{H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), "open it"};
  auto const bytes = std::filesystem::file_size(path);
  Attributes const about = hdf5::read_attributes(file.get());
  if (number_in(about, "sweep_format", 0) != format) throw RunError("it is of another format");
  return {.subject = {text_in(about, "model"), text_in(about, "tasks"), text_in(about, "options")},
          .command = text_in(about, "command"),
          .points = hdf5::TableInput{file.get(), "points", bytes}.rows<PointRow>(point_row_type()),
          .needles = hdf5::TableInput{file.get(), "needles", bytes}.rows<NeedleRow>(needle_row_type()),
          .tasks = hdf5::TableInput{file.get(), "tasks", bytes}.rows<TaskRow>(task_row_type())};
}

}   // namespace

void write_sweep(std::filesystem::path const& path, SweepFile const& sweep) {
  hdf5::prepare();
  std::string const part = part_of(path).string();
  hdf5::File file{H5Fcreate(part.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), "make " + part};
  hdf5::write(file.get(), {"sweep_format", format});
  hdf5::write(file.get(), {"version", std::string{version()}});
  hdf5::write(file.get(), {"command", sweep.command});
  hdf5::write(file.get(), {"model", sweep.subject.model});
  hdf5::write(file.get(), {"tasks", sweep.subject.tasks});
  hdf5::write(file.get(), {"options", sweep.subject.options});
  write_table(file.get(), "points", point_row_type(), sweep.points);
  write_table(file.get(), "needles", needle_row_type(), sweep.needles);
  write_table(file.get(), "tasks", task_row_type(), sweep.tasks);
  if (file.close() < 0) throw RunError(hdf5::failure("write " + part));
  publish(path);
}

SweepFile read_sweep(std::filesystem::path const& path) {
  std::string const remedy = "; give another --output, or remove it to begin anew";
  SweepFile sweep;
  try {
    run_apart(20, "HDF5 does not come to an end with it", [&] { (void)read_whole(path); });   // a damaged one may crash HDF5
    sweep = read_whole(path);
  } catch (RunError const& error) {
    throw RunError(fmt::format("{} cannot be read as a sweep ({}){}", path.string(), error.what(), remedy));
  }
  return sweep;
}

}   // namespace pikv::runtime
