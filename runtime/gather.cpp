#include "runtime/gather.hpp"

#include <algorithm>
#include <string>

#include "comm/byte_buffer.hpp"
#include "comm/message.hpp"

namespace pikv::runtime {

namespace {

template <typename T>
void put(comm::MessageWriter& out, T const& items) {
  out.value(std::uint64_t{items.size()});
  out.array(std::span<typename T::value_type const>{items});
}

template <typename T>
void take(comm::MessageReader& in, T& items) {
  auto const read = in.array<typename T::value_type>(in.value<std::uint64_t>());
  items.assign(read.begin(), read.end());
}

struct Fixed {   // of a Result, what has no length of its own
  std::int64_t index;
  std::int32_t home, prompt_tokens, rewinds;
  Finish finish;
  double arrival, first_token, end;
};

struct RankSummary {
  Totals totals;
  MemoryMoment memory;
  std::int64_t steps;
  double seconds;
  comm::FaultCounts faults;
};

template <std::size_t N, typename T>
void add(std::array<T, N>& sum, std::array<T, N> const& part) {
  for (std::size_t i = 0; i < N; ++i) sum[i] += part[i];
}

void add(Totals& sum, Totals const& part) {
  std::uint64_t Totals::*const counts[] = {&Totals::tokens_appended, &Totals::cells_evicted, &Totals::pages_sealed, &Totals::pages_remote,
                                           &Totals::checked,         &Totals::corrupt,       &Totals::stale,        &Totals::timeout,
                                           &Totals::refetched,       &Totals::rewinds,       &Totals::page_reads,   &Totals::hits,
                                           &Totals::exchanges,       &Totals::messages,      &Totals::scrubbed,
                                           &Totals::pages_moved,     &Totals::moves_refused, &Totals::migration_bytes,
                                           &Totals::tier_reads,      &Totals::pages_demoted, &Totals::pages_promoted, &Totals::pages_recoded};
  for (auto const count : counts) sum.*count += part.*count;
  add(sum.bytes, part.bytes);
  add(sum.bytes_by_locality, part.bytes_by_locality);
  add(sum.stage_s, part.stage_s);
}

}  // namespace

std::vector<Result> gather_results(comm::World& world, std::vector<Result> const& mine, double deadline_s) {
  comm::ByteBuffer buffer;
  comm::MessageWriter out{buffer};
  for (Result const& r : mine) {
    out.value(Fixed{r.index, r.home, r.prompt_tokens, r.rewinds, r.finish, r.arrival, r.first_token, r.end});
    put(out, r.tokens);
    put(out, r.error);
  }
  std::vector<Result> all;
  auto const parts = world.all_gather(buffer.bytes(), world.in(deadline_s));
  if (world.rank() != 0) return all;
  for (comm::Bytes const& part : parts)
    for (comm::MessageReader in{part}; !in.empty();) {
      auto const fixed = in.value<Fixed>();
      Result& r = all.emplace_back();
      r.index = fixed.index;
      r.home = fixed.home;
      r.prompt_tokens = fixed.prompt_tokens;
      r.rewinds = fixed.rewinds;
      r.finish = fixed.finish;
      r.arrival = fixed.arrival;
      r.first_token = fixed.first_token;
      r.end = fixed.end;
      take(in, r.tokens);
      take(in, r.error);
    }
  std::sort(all.begin(), all.end(), [](Result const& a, Result const& b) { return a.index < b.index; });
  return all;
}

Result gather_logits(comm::World& world, std::vector<Result> const& mine, std::int64_t index, double deadline_s) {
  comm::ByteBuffer buffer;
  comm::MessageWriter out{buffer};
  for (Result const& r : mine)
    if (r.index == index) {
      put(out, r.tokens);
      put(out, r.logits);
    }
  Result whole;
  whole.index = index;
  for (comm::Bytes const& part : world.all_gather(buffer.bytes(), world.in(deadline_s)))
    if (world.rank() == 0 && !part.empty()) {
      comm::MessageReader in{part};
      take(in, whole.tokens);
      take(in, whole.logits);
    }
  return whole;
}

RunSummary gather_summary(comm::World& world, Recorder const& mine, comm::FaultCounts const* faults, double deadline_s) {
  RankSummary const own{mine.totals(), mine.memory(), mine.steps(), mine.seconds(), faults != nullptr ? *faults : comm::FaultCounts{}};
  auto const parts = world.all_gather(std::as_bytes(std::span{&own, 1}), world.in(deadline_s));
  RunSummary sum;
  sum.ranks = world.size();
  sum.hosts = world.hosts();
  if (faults != nullptr) sum.faults.emplace();
  for (comm::Bytes const& part : parts) {
    auto const rank = comm::MessageReader{part}.value<RankSummary>();
    add(sum.totals, rank.totals);
    add(sum.memory.bytes, rank.memory.bytes);
    add(sum.memory.tiers, rank.memory.tiers);
    sum.memory.tokens_resident += rank.memory.tokens_resident;
    sum.memory.peak += rank.memory.peak;
    sum.memory.message_buffers += rank.memory.message_buffers;
    if (sum.faults)
      for (auto const& kind : comm::fault_kinds) *sum.faults.*kind.count += rank.faults.*kind.count;
    sum.by_rank.push_back(rank.memory);
    sum.steps = std::max(sum.steps, rank.steps);
    sum.seconds = std::max(sum.seconds, rank.seconds);
  }
  return sum;
}

}  // namespace pikv::runtime
