#include "runtime/recorder.hpp"

#include <algorithm>
#include <utility>

namespace pikv::runtime {

namespace {

std::size_t at(Purpose purpose) { return static_cast<std::size_t>(purpose); }
std::size_t at(Locality locality) { return static_cast<std::size_t>(locality); }

template <std::size_t N, typename T>
void subtract(std::array<T, N> const& now, std::array<T, N> const& before, std::array<T, N>& difference) {
  for (std::size_t i = 0; i < N; ++i) difference[i] = now[i] - before[i];
}

std::uint32_t grown(std::uint64_t now, std::uint64_t before) { return static_cast<std::uint32_t>(now - before); }

}  // namespace

Recorder::Recorder(comm::Rank rank, shards::Store const& store, Control const& control, Experts const& experts, StageClock const& clock)
    : rank_{rank}, store_{store}, control_{control}, experts_{experts}, clock_{clock} {}

std::array<Recorder::Channel, 5> Recorder::channels() const {
  return {{{Purpose::control, control_.channel()},
           {Purpose::query, store_.queries().queries()},
           {Purpose::partial, store_.queries().partials()},
           {Purpose::dispatch, experts_.dispatch()},
           {Purpose::combine, experts_.combine()}}};
}

void Recorder::read_counters() {
  now_ = {};
  for (auto const& [purpose, exchange] : channels()) {
    comm::ExchangeCounts const& counts = exchange.counts();
    now_.exchanges += counts.exchanges;
    now_.messages += counts.messages;
    messages_[at(purpose)] = counts.messages;
    now_.bytes[at(purpose)] = counts.bytes_to_host + counts.bytes_to_remote;
    now_.bytes_by_locality[at(Locality::rank)] += counts.bytes_to_self;
    now_.bytes_by_locality[at(Locality::node)] += counts.bytes_to_host;
    now_.bytes_by_locality[at(Locality::remote)] += counts.bytes_to_remote;
  }
  comm::TransportCounts const& moved = store_.transport().counts();
  now_.bytes[at(Purpose::push)] = moved.put_bytes_to_host + moved.put_bytes_to_remote;
  now_.bytes[at(Purpose::fetch)] = moved.get_bytes_from_host + moved.get_bytes_from_remote;
  messages_[at(Purpose::push)] = moved.puts;
  messages_[at(Purpose::fetch)] = moved.gets;
  now_.messages += moved.puts + moved.gets;
  now_.bytes_by_locality[at(Locality::rank)] += moved.put_bytes_to_self + moved.get_bytes_from_self;
  now_.bytes_by_locality[at(Locality::node)] += moved.put_bytes_to_host + moved.get_bytes_from_host;
  now_.bytes_by_locality[at(Locality::remote)] += moved.put_bytes_to_remote + moved.get_bytes_from_remote;

  counts_ = store_.counts();
  now_.tokens_appended = counts_.tokens_appended;
  now_.pages_sealed = counts_.pages_sealed;
  now_.pages_remote = counts_.pages_remote;
  now_.checked = counts_.checked;
  now_.scrubbed = counts_.scrubbed;
  now_.corrupt = counts_.corrupt;
  now_.stale = counts_.stale;
  now_.timeout = counts_.timeout;
  now_.refetched = counts_.refetched;
  now_.rewinds = counts_.rewinds;
  now_.page_reads = counts_.page_reads;
  now_.cells_evicted = counts_.cells_evicted;
  now_.pages_moved = counts_.pages_moved;
  now_.moves_refused = counts_.moves_refused;
  now_.migration_bytes = counts_.migration_bytes;
  now_.tier_reads = counts_.tier_reads;
  now_.pages_demoted = counts_.pages_demoted;
  now_.pages_promoted = counts_.pages_promoted;
  now_.pages_recoded = counts_.pages_recoded;
  now_.hits = counts_.page_reads - std::min(counts_.page_reads, counts_.lost + counts_.tier_reads);
  now_.stage_s = clock_.seconds();
}

StepRecord const& Recorder::record(shards::Step step, double begin, double end, Batch const& batch, std::size_t sequences) {
  if (steps_++ == 0) first_begin_ = begin;
  last_end_ = end;
  std::swap(now_, before_);
  messages_before_ = messages_;
  counts_before_ = counts_;
  read_counters();

  row_ = {};
  row_.step = step;
  row_.rank = rank_;
  row_.begin = begin;
  row_.end = end;
  row_.rows_decode = batch.decode_rows;
  row_.rows_prefill = batch.rows() - batch.decode_rows;
  row_.sequences = static_cast<std::int32_t>(sequences);
  subtract(now_.stage_s, before_.stage_s, row_.stage_s);
  subtract(now_.bytes, before_.bytes, row_.bytes);
  subtract(messages_, messages_before_, row_.messages);
  subtract(now_.bytes_by_locality, before_.bytes_by_locality, row_.bytes_by_locality);
  row_.exchanges = grown(now_.exchanges, before_.exchanges);
  row_.pages_sealed = grown(counts_.pages_sealed, counts_before_.pages_sealed);
  row_.pages_pushed = grown(counts_.pages_pushed, counts_before_.pages_pushed);
  row_.pages_acknowledged = grown(counts_.pages_acknowledged, counts_before_.pages_acknowledged);
  row_.pages_fetched = grown(counts_.pages_fetched, counts_before_.pages_fetched);
  row_.pages_read = grown(counts_.page_reads, counts_before_.page_reads);
  row_.replica_hits = grown(counts_.replica_hits, counts_before_.replica_hits);
  row_.tier_reads = grown(counts_.tier_reads, counts_before_.tier_reads);
  row_.checked = grown(counts_.checked, counts_before_.checked);
  row_.scrubbed = grown(counts_.scrubbed, counts_before_.scrubbed);
  row_.corrupt = grown(counts_.corrupt, counts_before_.corrupt);
  row_.stale = grown(counts_.stale, counts_before_.stale);
  row_.lost = grown(counts_.lost, counts_before_.lost);
  row_.timeout = grown(counts_.timeout, counts_before_.timeout);
  row_.refetched = grown(counts_.refetched, counts_before_.refetched);
  row_.rewinds = grown(counts_.rewinds, counts_before_.rewinds);
  row_.events_dropped = grown(store_.events().dropped(), std::exchange(events_dropped_, store_.events().dropped()));
  row_.memory = last_.bytes;
  row_.tiers = last_.tiers;
  row_.pages_home = pages_home_;
  row_.pages_owned = pages_owned_;
  row_.tokens_resident = last_.tokens_resident;
  return row_;
}

void Recorder::take_memory() {
  for (std::size_t i = 0; i < shards::memory_categories; ++i) last_.bytes[i] = store_.memory().bytes(static_cast<shards::Memory>(i));
  for (std::size_t i = 0; i < last_.tiers.size(); ++i) last_.tiers[i] = store_.tier_bytes(static_cast<shards::TierKind>(i + 1));
  last_.tokens_resident = store_.tokens_resident();
  last_.peak = store_.memory().peak();
  last_.message_buffers = 0;
  for (Channel const& channel : channels()) last_.message_buffers += channel.exchange.buffer_bytes();
  pages_home_ = static_cast<std::uint32_t>(store_.pages_home());
  pages_owned_ = static_cast<std::uint32_t>(store_.owner().pages());
}

void Recorder::moment(std::uint64_t tokens_resident_everywhere) {
  moment_.peak = store_.memory().peak();
  moment_.message_buffers = last_.message_buffers;
  if (tokens_resident_everywhere <= most_tokens_) return;
  most_tokens_ = tokens_resident_everywhere;
  moment_ = last_;
}

}  // namespace pikv::runtime
