#include "runtime/analyze/perfetto.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "runtime/analyze/events.hpp"
#include "runtime/analyze/figures.hpp"
#include "runtime/analyze/protobuf.hpp"

namespace pikv::runtime::analyze {
namespace {

// Field numbers of perfetto/trace: trace.proto, trace_packet.proto, track_event/{track_event,track_descriptor,...}.proto.
constexpr std::uint32_t trace_packet = 1;
constexpr std::uint32_t packet_timestamp = 8, packet_sequence = 10, packet_event = 11, packet_flags = 13, packet_descriptor = 60;
constexpr std::uint32_t track_uuid = 1, track_name = 2, track_process = 3, track_parent = 5, track_counter = 8;
constexpr std::uint32_t process_pid = 1, process_name = 6, counter_unit = 3;
constexpr std::uint32_t event_annotation = 4, event_type = 9, event_track = 11, event_name = 23, event_counter = 30;
constexpr std::uint32_t annotation_integer = 4, annotation_text = 6, annotation_name = 10;
enum EventType : std::uint32_t { slice_begin = 1, slice_end = 2, instant_event = 3, counter_event = 4 };
enum Unit : std::uint32_t { count = 2, size_bytes = 3 };
constexpr std::uint32_t sequence_starts = 1, only_sequence = 1;

struct CounterTrack {
  char const* name;
  Unit unit;
  std::uint64_t (*value)(StepRecord const& row);
};
constexpr std::array counter_tracks = {
    CounterTrack{"KV memory", size_bytes, [](StepRecord const& row) { return resident(row.memory); }},
    CounterTrack{"bytes to other ranks", size_bytes,
                 [](StepRecord const& row) {
                   Sums sums;
                   sums.add(row);
                   return sums.bytes_to_others();
                 }},
    CounterTrack{"page reads", count, [](StepRecord const& row) -> std::uint64_t { return row.pages_read; }},
    CounterTrack{"rows", count, [](StepRecord const& row) { return static_cast<std::uint64_t>(row.rows_decode + row.rows_prefill); }},
    CounterTrack{"sequences", count, [](StepRecord const& row) { return static_cast<std::uint64_t>(row.sequences); }},
    CounterTrack{"tokens resident", count, [](StepRecord const& row) { return row.tokens_resident; }},
    CounterTrack{"pages owned", count, [](StepRecord const& row) -> std::uint64_t { return row.pages_owned; }},
    CounterTrack{"corrupt pages", count, [](StepRecord const& row) -> std::uint64_t { return row.corrupt; }}};

// Tracks of a rank, by number: 0 the process, 1 the steps, 2 the events of pages, then counters, then requests.
constexpr std::uint64_t tracks_per_rank = 1 << 20, steps_track = 1, events_track = 2, first_counter = 3;
constexpr std::uint64_t first_request = first_counter + counter_tracks.size();
std::uint64_t uuid(std::int32_t rank, std::uint64_t track) { return (static_cast<std::uint64_t>(rank) + 1) * tracks_per_rank + track; }

class Writer {
 public:
  explicit Writer(std::function<void(std::string_view)> const& write) : write_{write} {}

  void track(std::uint64_t id, std::string_view name, std::uint64_t parent, std::optional<Unit> unit = {}) {
    Message descriptor;
    descriptor.number(track_uuid, id).text(track_name, name).number(track_parent, parent);
    if (unit) descriptor.message(track_counter, Message{}.number(counter_unit, *unit));
    packet(Message{}.message(packet_descriptor, descriptor));
  }
  void process(std::int32_t rank, std::string_view name) {
    auto const process = Message{}.number(process_pid, static_cast<std::uint64_t>(rank) + 1).text(process_name, name);
    packet(Message{}.message(packet_descriptor, Message{}.number(track_uuid, uuid(rank, 0)).message(track_process, process)));
  }
  void slice(std::uint64_t track, std::string_view name, double begin_s, double end_s, Message const& annotations = {}) {
    begin(track, name, begin_s, annotations);
    end(track, end_s);
  }
  void begin(std::uint64_t track, std::string_view name, double at_s, Message const& annotations = {}) {
    Message event = annotations;
    event.number(event_type, slice_begin).number(event_track, track).text(event_name, name);
    at(at_s, event);
  }
  void end(std::uint64_t track, double at_s) { at(at_s, Message{}.number(event_type, slice_end).number(event_track, track)); }
  void instant(std::uint64_t track, std::string_view name, double at_s, Message const& annotations) {
    Message event = annotations;
    at(at_s, event.number(event_type, instant_event).number(event_track, track).text(event_name, name));
  }
  void counter(std::uint64_t track, double at_s, std::uint64_t value) {
    at(at_s, Message{}.number(event_type, counter_event).number(event_track, track).number(event_counter, value));
  }

 private:
  void at(double seconds, Message const& event) {
    packet(Message{}.number(packet_timestamp, static_cast<std::uint64_t>(std::llround(seconds * 1e9))).message(packet_event, event));
  }
  void packet(Message content) {
    content.number(packet_sequence, only_sequence);
    if (!started_) content.number(packet_flags, sequence_starts);
    started_ = true;
    write_(Message{}.message(trace_packet, content).bytes());
  }

  std::function<void(std::string_view)> const& write_;
  bool started_ = false;
};

/// A field of an event that the viewer shows beside it.
Message annotation(std::string_view name, std::int64_t value) {
  auto const pair = Message{}.text(annotation_name, name).number(annotation_integer, static_cast<std::uint64_t>(value));
  return Message{}.message(event_annotation, pair);
}
Message annotation(std::string_view name, std::string_view value) {
  return Message{}.message(event_annotation, Message{}.text(annotation_name, name).text(annotation_text, value));
}

struct Span {
  double begin_s, end_s;
};
Span span_of(Trace const& trace, StepRecord const& row) {
  double const step = static_cast<double>(row.step);
  return clock_is_virtual(trace) ? Span{step * 1e-3, (step + 1) * 1e-3} : Span{row.begin, row.end};
}

void write_tracks(Writer& writer, Trace const& trace) {
  for (auto const& rank : trace.ranks) {
    writer.process(rank.rank, fmt::format("rank {} on {}", rank.rank, text_of(rank.host_name)));
    writer.track(uuid(rank.rank, steps_track), clock_is_virtual(trace) ? "steps (virtual clock: 1 ms each)" : "steps", uuid(rank.rank, 0));
    if (trace.events) writer.track(uuid(rank.rank, events_track), "page events", uuid(rank.rank, 0));
    for (std::size_t i = 0; i < counter_tracks.size(); ++i)
      writer.track(uuid(rank.rank, first_counter + i), counter_tracks[i].name, uuid(rank.rank, 0), counter_tracks[i].unit);
  }
}

void write_steps(Writer& writer, Trace const& trace) {
  for (auto const& row : trace.steps) {
    auto const [begin, end] = span_of(trace, row);
    auto const track = uuid(row.rank, steps_track);
    writer.begin(track, fmt::format("step {}", row.step), begin, annotation("rows", row.rows_decode + row.rows_prefill));
    Sums sums;
    sums.add(row);
    double const scale = sums.seconds() > end - begin ? (end - begin) / sums.seconds() : 1;
    double at = begin;
    for (std::size_t s = 0; s < stages; ++s) {
      if (row.stage_s[s] <= 0) continue;
      double const until = std::min(at + row.stage_s[s] * scale, end);
      writer.slice(track, to_string(static_cast<Stage>(s)), at, until);
      at = until;
    }
    writer.end(track, end);
    for (std::size_t i = 0; i < counter_tracks.size(); ++i) writer.counter(uuid(row.rank, first_counter + i), end, counter_tracks[i].value(row));
  }
}

/// Those of a step one behind the other over its length: their order is known, their moments are not.
void write_events(Writer& writer, Trace const& trace) {
  auto const key = [](auto const& row) { return std::pair{row.step, row.rank}; };
  auto const& rows = trace.events->rows;
  for (auto first = rows.begin(), last = first; first != rows.end(); first = last) {
    last = std::find_if(first, rows.end(), [&](auto const& row) { return key(row) != key(*first); });
    auto const step = std::ranges::lower_bound(trace.steps, key(*first), {}, key);
    if (step == trace.steps.end() || key(*step) != key(*first)) continue;
    auto const [begin, end] = span_of(trace, *step);
    double const apart = (end - begin) / static_cast<double>(last - first + 1);
    double at = begin;
    for (auto event = first; event != last; ++event) {
      auto const page = to_string(PageName{{event->stream_hi, event->stream_lo}, event->layer, event->block});
      writer.instant(uuid(event->rank, events_track), kind_of(*trace.events, *event), at += apart,
                     annotation("page", page).append(annotation("peer", event->peer)));
    }
  }
}

/// Each request on the first track of its home that is free again: waiting and reading, then decoding.
void write_requests(Writer& writer, Trace const& trace) {
  auto requests = trace.requests;
  std::ranges::stable_sort(requests, {}, &RequestRecord::arrival);
  std::vector<std::vector<double>> busy_until(trace.ranks.size());
  for (auto const& request : requests) {
    if (request.generated == 0 || request.first_token < request.arrival || request.end < request.first_token) continue;
    auto& tracks = busy_until[static_cast<std::size_t>(request.home)];
    auto const free = static_cast<std::size_t>(std::ranges::find_if(tracks, [&](double until) { return until <= request.arrival; }) - tracks.begin());
    auto const track = uuid(request.home, first_request + free);
    if (free == tracks.size()) {
      tracks.push_back(0);
      writer.track(track, fmt::format("requests {}", free), uuid(request.home, 0));
    }
    tracks[free] = request.end;
    auto const about = annotation("prompt_tokens", request.prompt_tokens);
    writer.slice(track, fmt::format("{}: until the first token", text_of(request.id)), request.arrival, request.first_token, about);
    writer.slice(track, fmt::format("{}: decoding", text_of(request.id)), request.first_token, request.end,
                 annotation("generated", request.generated));
  }
}

}   // namespace

void write_perfetto(Trace const& trace, std::function<void(std::string_view)> const& write) {
  Writer writer{write};
  write_tracks(writer, trace);
  write_steps(writer, trace);
  if (trace.events) write_events(writer, trace);
  if (!clock_is_virtual(trace)) write_requests(writer, trace);
}

}   // namespace pikv::runtime::analyze
