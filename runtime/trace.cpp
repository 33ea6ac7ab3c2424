#include "runtime/trace.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "comm/error.hpp"
#include "comm/hdf5_access.hpp"
#include "runtime/hdf5/attribute.hpp"
#include "runtime/hdf5/handle.hpp"
#include "runtime/hdf5/table.hpp"
#include "runtime/output_file.hpp"

namespace pikv::runtime {
namespace {

/// Runs `work` and returns what it threw, so that a rank in trouble still takes part in what follows.
std::string trouble_in(auto const& work) {
  try {
    work();
  } catch (Error const& error) {
    return error.what();
  }
  return {};
}

constexpr off_t metadata_bytes = 1 << 20;   // more than chunks rounded up and HDF5's own records add to a file in a batch

/// Takes the disk's room for `bytes` more, where the file system can: a write that fails inside a collective call, on one rank alone, is one
/// that the other ranks wait for until the deadline.
void make_room(std::filesystem::path const& part, std::size_t bytes) {
  int const file = ::open(part.c_str(), O_WRONLY | O_CLOEXEC);
  struct stat now {};
  rlimit most{};
  bool made = file >= 0 && ::fstat(file, &now) == 0 && ::getrlimit(RLIMIT_FSIZE, &most) == 0;
  off_t const more = static_cast<off_t>(bytes) + metadata_bytes;
  if (made && most.rlim_cur != RLIM_INFINITY && static_cast<rlim_t>(now.st_size + more) > most.rlim_cur) {
    made = false;
    errno = EFBIG;
  } else if (made) {
    made = ::fallocate(file, FALLOC_FL_KEEP_SIZE, now.st_size, more) == 0 || errno == EOPNOTSUPP || errno == ENOSYS;
  }
  std::string const reason = std::strerror(errno);
  if (file >= 0) ::close(file);
  if (!made) throw RunError(fmt::format("could not make room for {} more bytes of {} ({}); free some space or give another name", more,
                                 part.string(), reason));
}

}  // namespace

struct TraceWriter::File {
  File(std::filesystem::path const& part, comm::World const& world, std::array<hdf5::RowBuffer, tables> const& buffers)
      : access{comm::hdf5_file_access(world), "open the trace's access"},
        transfer{comm::hdf5_transfer(world), "open the trace's transfer"},
        file{H5Fcreate(part.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), "make the trace " + part.string()},
        table{hdf5::Table{file.get(), "ranks", buffers[0].type(), 64}, hdf5::Table{file.get(), "requests", buffers[1].type(), 256},
              hdf5::Table{file.get(), "steps", buffers[2].type(), 256},
              hdf5::Table{file.get(), "pages_by_owner", buffers[3].type(), 1024}, hdf5::Table{file.get(), "faults", buffers[4].type(), 64},
              hdf5::Table{file.get(), "events", buffers[5].type(), 1024}} {}

  void abandon() {
    for (auto& t : table) t.abandon();
    file.abandon();
  }

  hdf5::Properties access, transfer;
  hdf5::File file;
  std::array<hdf5::Table, tables> table;
};

/// What this rank writes now: for each table its bytes, and where among the `total` rows of all ranks they go.
struct TraceWriter::Batch {
  std::array<std::vector<std::byte>, tables> gathered;   // in process, on rank 0
  std::array<std::span<std::byte const>, tables> rows;
  std::array<std::size_t, tables> first{}, total{};
};

TraceWriter::TraceWriter(comm::World& world, std::filesystem::path name, RunMetadata const& metadata, int batch_steps)
    : world_{world},
      name_{std::move(name)},
      deadline_s_{metadata.deadline_s},
      every_rank_writes_{!world.in_process()},
      buffers_{hdf5::RowBuffer{rank_rows(), 1}, hdf5::RowBuffer{request_rows(), 256},
               hdf5::RowBuffer{step_rows(), static_cast<std::size_t>(batch_steps)},
               hdf5::RowBuffer{pages_by_owner_rows(), static_cast<std::size_t>(world.size())}, hdf5::RowBuffer{fault_rows(), 1},
               hdf5::RowBuffer{event_rows(), metadata.most_events}} {
  std::string const unusable = world_.rank() == 0 ? trouble_in([&] { open_part(name_, "--trace"); }) : "";
  if (auto const first = world_.first_trouble(unusable, world_.in(deadline_s_))) throw InputError(first->text);
  hdf5::prepare();
  if (every_rank_writes_ || world_.rank() == 0) {
    auto const guard = world_.guard("making the trace", deadline_s_);
    agree(trouble_in([&] { make_file(metadata); }));
  } else {
    agree("");
  }
  RankRecord const self =
      rank_record(world_.rank(), world_.host(world_.rank()), world_.host_name(world_.rank()), metadata.kv_capacity_bytes);
  buffer(Table::ranks).add(&self);
  write_batch();
}

TraceWriter::~TraceWriter() {
  if (file_) file_->abandon();   // closing is collective over MPI, and after a failed write it may fail again
}

void TraceWriter::make_file(RunMetadata const& metadata) {
  file_ = std::make_unique<File>(part_of(name_), world_, buffers_);
  hid_t const file = file_->file.get();
  Attributes const run{{"format", trace_format},
                       {"version", metadata.version},
                       {"commit", metadata.commit},
                       {"command_line", metadata.command_line},
                       {"started", metadata.started},
                       {"ranks", static_cast<std::int64_t>(world_.size())},
                       {"hosts", static_cast<std::int64_t>(world_.hosts())}};
  for (auto const& attribute : run) hdf5::write(file, attribute);
  hdf5::write_group(file, "libraries", metadata.libraries);
  hdf5::write_group(file, "options", metadata.options);
  hdf5::write_group(file, "model", metadata.model);
}

void TraceWriter::write_batch() {
  Batch const batch = every_rank_writes_ ? agree_on_rows() : gather_rows();
  std::size_t bytes = 0;
  for (std::size_t t = 0; t < tables; ++t) bytes += batch.total[t] * buffers_[t].type().row_bytes();
  write([&] { make_room(part_of(name_), bytes); });
  write([&] {
    for (std::size_t t = 0; t < tables; ++t)
      if (batch.total[t] > 0) file_->table[t].grow(batch.total[t]);
  });
  for (std::size_t t = 0; t < tables; ++t)
    if (batch.total[t] > 0) write([&] { file_->table[t].write(batch.rows[t], batch.first[t], file_->transfer.get()); });
  write([&] {
    if (H5Fflush(file_->file.get(), H5F_SCOPE_GLOBAL) < 0) throw RunError(hdf5::failure("flush " + part_of(name_).string()));
  });
  for (auto& rows : buffers_) rows.clear();
}

template <typename Work>
void TraceWriter::write(Work const& work) {
  std::string trouble;
  if (file_) {
    auto const guard = world_.guard("writing the trace", deadline_s_);
    trouble = trouble_in(work);
  }
  agree(trouble);   // before the next collective call, which would wait for a rank in trouble for ever
}

void TraceWriter::close() {
  write_batch();
  std::string trouble;
  if (file_) {
    auto const guard = world_.guard("closing the trace", deadline_s_);
    hdf5::File file{std::move(file_->file)};
    file_.reset();
    if (file.close() < 0) trouble = hdf5::failure("close " + part_of(name_).string());
  }
  agree(trouble);
  agree(world_.rank() == 0 ? trouble_in([&] { publish(name_); }) : "");
}

/// Over MPI: each rank's rows go after those of the ranks below it.
TraceWriter::Batch TraceWriter::agree_on_rows() {
  std::array<std::size_t, tables> mine;
  for (std::size_t t = 0; t < tables; ++t) mine[t] = buffers_[t].rows();
  auto const all = world_.all_gather(std::as_bytes(std::span{mine}), world_.in(deadline_s_));
  Batch batch;
  for (std::size_t t = 0; t < tables; ++t) batch.rows[t] = buffers_[t].bytes();
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    std::array<std::size_t, tables> counts;
    std::memcpy(counts.data(), all[rank].data(), sizeof counts);
    for (std::size_t t = 0; t < tables; ++t) {
      if (rank < static_cast<std::size_t>(world_.rank())) batch.first[t] += counts[t];
      batch.total[t] += counts[t];
    }
  }
  return batch;
}

/// In process: rank 0 gets everyone's rows, by table.
TraceWriter::Batch TraceWriter::gather_rows() {
  Batch batch;
  for (std::size_t t = 0; t < tables; ++t) {
    for (auto const& rows : world_.all_gather(buffers_[t].bytes(), world_.in(deadline_s_)))
      batch.gathered[t].insert(batch.gathered[t].end(), rows.begin(), rows.end());
    batch.rows[t] = batch.gathered[t];
    batch.total[t] = batch.gathered[t].size() / buffers_[t].type().row_bytes();
  }
  return batch;
}

void TraceWriter::agree(std::string const& trouble) {
  if (auto const first = world_.first_trouble(trouble, world_.in(deadline_s_)))
    throw RunError(fmt::format("rank {}: {}", first->rank, first->text));
}

}  // namespace pikv::runtime
