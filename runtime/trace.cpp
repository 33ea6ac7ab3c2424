#include "runtime/trace.hpp"

#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "comm/error.hpp"
#include "comm/hdf5_access.hpp"
#include "runtime/agree.hpp"
#include "runtime/disk_room.hpp"
#include "runtime/hdf5/attribute.hpp"
#include "runtime/hdf5/handle.hpp"
#include "runtime/hdf5/table.hpp"
#include "runtime/output_file.hpp"

namespace pikv::runtime {

struct TraceWriter::File {
  File(std::filesystem::path const& part, comm::World const& world, std::array<hdf5::RowBuffer, tables> const& buffers)
      : access{comm::hdf5_file_access(world), "open the trace's access"},
        transfer{comm::hdf5_transfer(world), "open the trace's transfer"},
        file{H5Fcreate(part.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), "make the trace " + part.string()},
        table{hdf5::Table{file.get(), "ranks", buffers[0].type(), 64}, hdf5::Table{file.get(), "requests", buffers[1].type(), 256},
              hdf5::Table{file.get(), "steps", buffers[2].type(), 256},
              hdf5::Table{file.get(), "pages_by_owner", buffers[3].type(), 1024}, hdf5::Table{file.get(), "faults", buffers[4].type(), 64},
              hdf5::Table{file.get(), "events", buffers[5].type(), 1024},
              hdf5::Table{file.get(), "plans", buffers[6].type(), 64}, hdf5::Table{file.get(), "plan_loads", buffers[7].type(), 256},
              hdf5::Table{file.get(), "plan_buckets", buffers[8].type(), 1024}, hdf5::Table{file.get(), "plan_places", buffers[9].type(), 1024}} {}

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
               hdf5::RowBuffer{event_rows(), metadata.most_events},
               hdf5::RowBuffer{plan_rows(), 1}, hdf5::RowBuffer{plan_load_rows(), 0}, hdf5::RowBuffer{plan_bucket_rows(), 0},
               hdf5::RowBuffer{plan_place_rows(), 0}} {
  agree([&] {
    if (world_.rank() == 0) open_part(name_, "--trace");
  });
  hdf5::prepare();
  agree([&] {
    if (!every_rank_writes_ && world_.rank() != 0) return;
    auto const guard = world_.guard("making the trace", deadline_s_);
    make_file(metadata);
  });
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
                       {"resumed_from", metadata.resumed_from},
                       {"ranks", static_cast<std::int64_t>(world_.size())},
                       {"hosts", static_cast<std::int64_t>(world_.hosts())}};
  for (auto const& attribute : run) hdf5::write(file, attribute);
  hdf5::write_group(file, "libraries", metadata.libraries);
  hdf5::write_group(file, "options", metadata.options);
  hdf5::write_group(file, "model", metadata.model);
}

void TraceWriter::add(PlanRows const& rows) {
  buffer(Table::plans).add(&rows.plan);
  for (PlanLoad const& row : rows.loads) buffer(Table::plan_loads).add(&row);
  for (PlanBucket const& row : rows.buckets) buffer(Table::plan_buckets).add(&row);
  for (PlanPlace const& row : rows.places) buffer(Table::plan_places).add(&row);
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
  agree([&] {   // before the next collective call, which would wait for a rank in trouble for ever
    if (!file_) return;
    auto const guard = world_.guard("writing the trace", deadline_s_);
    work();
  });
}

void TraceWriter::close(std::string const& ended) {
  write_batch();
  write([&] { hdf5::write(file_->file.get(), {"ended", ended}); });
  agree([&] {
    if (!file_) return;
    auto const guard = world_.guard("closing the trace", deadline_s_);
    hdf5::File file{std::move(file_->file)};
    file_.reset();
    if (file.close() < 0) throw RunError(hdf5::failure("close " + part_of(name_).string()));
  });
  agree([&] {
    if (world_.rank() == 0) publish(name_);
  });
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

void TraceWriter::agree(comm::FunctionRef<void()> local) { runtime::agree(world_, deadline_s_, local); }

}  // namespace pikv::runtime
