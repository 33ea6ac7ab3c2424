#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "comm/faults.hpp"
#include "shards/account.hpp"
#include "shards/tier.hpp"

namespace pikv::runtime {

/// Where a step's time goes. Overlapping work is attributed once, to what the main thread was doing.
enum class Stage { attention, ffn, routing, codec, scheduling, communication, other };
inline constexpr std::size_t stages = 7;
char const* to_string(Stage stage);

/// What bytes were moved for. `push` and `fetch` are one-sided; the rest are messages.
enum class Purpose { push, fetch, query, partial, dispatch, combine, control };
inline constexpr std::size_t purposes = 7;
char const* to_string(Purpose purpose);

enum class Locality { rank, node, remote };
inline constexpr std::size_t localities = 3;
char const* to_string(Locality locality);

/// One step of one rank; the trace's table /steps. Counts are of this step, not sums.
struct StepRecord {
  std::int64_t step = 0;
  std::int32_t rank = 0;
  double begin = 0, end = 0;                                 // s on the job's clock
  std::array<double, stages> stage_s{};
  std::int32_t rows_decode = 0, rows_prefill = 0, sequences = 0;
  std::array<std::uint64_t, purposes> bytes{}, messages{};
  std::array<std::uint64_t, localities> bytes_by_locality{};
  std::uint32_t exchanges = 0;
  std::uint32_t pages_sealed = 0, pages_pushed = 0, pages_acknowledged = 0, pages_fetched = 0, pages_read = 0, replica_hits = 0, tier_reads = 0;
  std::uint32_t checked = 0, scrubbed = 0, corrupt = 0, stale = 0, lost = 0, timeout = 0, refetched = 0, rewinds = 0, events_dropped = 0;
  std::array<std::uint64_t, shards::memory_categories> memory{};   // bytes by category at the end of the step
  std::array<std::uint64_t, shards::tier_kinds - 1> tiers{};       // beside them, in slower tiers: host, file
  std::uint32_t pages_home = 0, pages_owned = 0;             // pages kept for own streams at home / for anyone as an owner
  std::uint64_t tokens_resident = 0;                         // tokens of own streams whose KV exists anywhere
};

/// Sums of a run, one rank's or all ranks', for the report and the printed summary.
struct Totals {
  std::uint64_t tokens_appended = 0, cells_evicted = 0, pages_sealed = 0, pages_remote = 0;
  std::uint64_t checked = 0, scrubbed = 0, corrupt = 0, stale = 0, timeout = 0, refetched = 0, rewinds = 0;
  std::uint64_t page_reads = 0, hits = 0, tier_reads = 0, pages_demoted = 0, pages_promoted = 0, pages_recoded = 0;
  std::uint64_t pages_moved = 0, moves_refused = 0, migration_bytes = 0;
  std::uint64_t exchanges = 0, messages = 0;
  std::array<std::uint64_t, purposes> bytes{};
  std::array<std::uint64_t, localities> bytes_by_locality{};
  std::array<double, stages> stage_s{};
};

/// Memory at the end of the step with the most tokens resident (all ranks together), and the peak.
struct MemoryMoment {
  std::array<std::uint64_t, shards::memory_categories> bytes{};
  std::array<std::uint64_t, shards::tier_kinds - 1> tiers{};   // bytes in the slower tiers: host, file; beside those above
  std::uint64_t tokens_resident = 0;
  std::uint64_t peak = 0;
  std::uint64_t message_buffers = 0;        // bytes of the exchanges' buffers, the same all the time; no part of the KV memory
};

/// All that a job leaves behind besides its results; summed over ranks.
struct RunSummary {
  int ranks = 1, hosts = 1;
  double seconds = 0;                       // first step begins .. last step ends
  std::int64_t steps = 0;
  Totals totals;
  MemoryMoment memory;                      // sum over ranks
  std::vector<MemoryMoment> by_rank;
  std::optional<comm::FaultCounts> faults;  // sum over ranks, with a fault plan
};

}  // namespace pikv::runtime
