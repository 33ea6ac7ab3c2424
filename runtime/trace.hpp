#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "comm/function_ref.hpp"
#include "comm/world.hpp"
#include "runtime/attributes.hpp"
#include "runtime/hdf5/row_type.hpp"
#include "runtime/trace_rows.hpp"

namespace pikv::runtime {

inline constexpr std::int64_t trace_format = 4;   // 2: /faults and steps.scrubbed; 3: /events, steps.lost, steps.events_dropped, streams of requests; 4: tiers
inline constexpr int trace_batch_steps = 64;   // N: steps between two calls of write_batch()

/// What the trace says of the run besides its rows.
struct RunMetadata {
  std::string version, commit, command_line;
  std::string started;                    // ISO 8601, UTC
  std::string resumed_from;               // the checkpoint it went on from; empty: none
  Attributes libraries, options, model;   // groups of these names
  std::uint64_t kv_capacity_bytes = 0;    // of this rank, the only value that may differ between ranks
  std::size_t most_events = 0;            // page events of a batch
  double deadline_s = 30;                 // of each wait here
};

/// The HDF5 trace of a job (docs/trace.md has the schema). Ranks buffer rows and write them together every N steps; each batch ends
/// with a flush, so that NAME.part of a killed job can be opened and holds all rows up to its last batch. Over MPI all ranks write
/// one file; in process rank 0 writes what the others hand it. Trouble of one rank (disk full) is agreed on: all ranks throw the
/// same AgreedError. Over MPI a batch costs a small all_gather per table and four more, besides what HDF5 does.
class TraceWriter {
 public:
  /// Collective. Makes NAME.part, complete but for rows of steps. Throws AgreedError, of code 2 if there can be no file of that name.
  TraceWriter(comm::World& world, std::filesystem::path name, RunMetadata const& metadata, int batch_steps = trace_batch_steps);
  /// Without close(): leaves NAME.part as of the last batch. Not collective, so a rank that failed alone can get here.
  ~TraceWriter();

  /// These touch neither HDF5 nor other ranks, and a step's rows do not allocate between batches of batch_steps.
  void add(StepRecord const& row) { buffer(Table::steps).add(&row); }
  void add(PagesByOwner const& row) { buffer(Table::pages_by_owner).add(&row); }
  void add(RequestRecord const& row) { buffer(Table::requests).add(&row); }
  void add(FaultRecord const& row) { buffer(Table::faults).add(&row); }
  void add(std::span<shards::PageEventRow const> rows) {
    for (auto const& row : rows) buffer(Table::events).add(&row);
  }
  void add(PlanRows const& rows);

  /// Collective; at the control slot. Throws AgreedError.
  void write_batch();
  /// Collective, once, the last call: writes the rest and how the job ended, then NAME.part becomes NAME. Throws AgreedError.
  void close(std::string const& ended);

 private:
  enum class Table { ranks, requests, steps, pages_by_owner, faults, events, plans, plan_loads, plan_buckets, plan_places };
  static constexpr std::size_t tables = 10;
  struct File;
  struct Batch;

  hdf5::RowBuffer& buffer(Table table) { return buffers_[static_cast<std::size_t>(table)]; }
  void make_file(RunMetadata const& metadata);
  Batch agree_on_rows();
  Batch gather_rows();
  /// Runs `work` where this rank writes; trouble of one rank is thrown on all.
  template <typename Work>
  void write(Work const& work);
  void agree(comm::FunctionRef<void()> local);

  comm::World& world_;
  std::filesystem::path name_;
  double deadline_s_;
  bool every_rank_writes_;
  std::array<hdf5::RowBuffer, tables> buffers_;
  std::unique_ptr<File> file_;   // where this rank writes
};

}  // namespace pikv::runtime
