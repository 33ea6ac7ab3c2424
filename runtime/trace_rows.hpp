#pragma once

#include <array>
#include <cstdint>
#include <iterator>
#include <string_view>

#include "comm/faults.hpp"
#include "runtime/coordinator/plan_record.hpp"
#include "runtime/hdf5/row_type.hpp"
#include "runtime/request.hpp"
#include "runtime/statistics.hpp"
#include "shards/events.hpp"

namespace pikv::runtime {

/// Text in a table's row: cut where it is too long (never inside a UTF-8 character), padded with zeros.
template <std::size_t N>
using FixedText = std::array<char, N>;

/// A row of /ranks.
struct RankRecord {
  std::int32_t rank = 0, host = 0;
  FixedText<64> host_name{};
  std::uint64_t kv_capacity_bytes = 0;
};

/// A row of /requests, brought by the home when the request has ended.
struct RequestRecord {
  std::int64_t index = 0;
  FixedText<64> id{};
  std::int32_t home = 0, prompt_tokens = 0, generated = 0, generated_before = 0;
  FixedText<8> finish{};
  double arrival = 0, first_token = 0, end = 0;   // s on the job's clock
  std::int32_t rewinds = 0;
  std::uint64_t stream_hi = 0, stream_lo = 0;   // that its pages are of
};
RequestRecord request_record(std::string_view id, Result const& result);

/// A row of /faults: what a fault plan did to a rank since its last row.
struct FaultRecord {
  std::int64_t step = 0;
  std::int32_t rank = 0;
  std::array<std::uint64_t, std::size(comm::fault_kinds)> times{};
};
FaultRecord fault_record(std::int64_t step, std::int32_t rank, comm::FaultCounts const& now, comm::FaultCounts const& before);

/// A row of /pages_by_owner, brought by the owner: pages it stores at the end of `step` for the streams of `home`.
struct PagesByOwner {
  std::int64_t step = 0;
  std::int32_t owner = 0, home = 0;
  std::uint64_t pages = 0;
};

RankRecord rank_record(std::int32_t rank, std::int32_t host, std::string_view host_name, std::uint64_t kv_capacity_bytes);

hdf5::RowType rank_rows();
hdf5::RowType request_rows();
hdf5::RowType step_rows();   // of StepRecord
hdf5::RowType pages_by_owner_rows();
hdf5::RowType fault_rows();
hdf5::RowType event_rows();   // of shards::PageEventRow
hdf5::RowType plan_rows();          // of PlanRecord
hdf5::RowType plan_load_rows();     // of PlanLoad
hdf5::RowType plan_bucket_rows();   // of PlanBucket
hdf5::RowType plan_place_rows();    // of PlanPlace

}  // namespace pikv::runtime
