#include "runtime/analyze/tables.hpp"

#include <variant>

#include "runtime/analyze/events.hpp"

namespace pikv::runtime::analyze {
namespace {

using Cell = nlohmann::ordered_json;
using Row = std::vector<Cell>;

/// Names of an enumeration's values: before + to_string + after.
template <typename Enum>
void add_names(std::vector<std::string>& names, std::size_t count, char const* before, char const* after) {
  for (std::size_t i = 0; i < count; ++i) names.push_back(std::string{before} + to_string(static_cast<Enum>(i)) + after);
}

void add_values(Row& row, auto const& values) {
  for (auto const& value : values) row.push_back(value);
}

Cell cell(std::optional<double> const& value) { return value ? Cell(*value) : Cell(nullptr); }

Table job(Trace const& trace, Figures const& figures) {
  Table table{"job", {"name", "value"}, {}};
  auto const add = [&](char const* name, Cell value) { table.rows.push_back({name, std::move(value)}); };
  add("trace", trace.path.string());
  add("whole", trace.whole);
  add("ended", trace.ended);
  add("resumed_from", trace.resumed_from);
  add("command_line", trace.command_line);
  add("started", trace.started);
  add("version", trace.version);
  add("commit", trace.commit);
  add("ranks", trace.ranks.size());
  add("hosts", trace.hosts);
  for (auto const& [name, value] : trace.model) std::visit([&](auto const& v) { table.rows.push_back({"model." + name, v}); }, value);
  add("requests", trace.requests.size());
  add("prompt_tokens", figures.prompt_tokens);
  add("generated", figures.generated);
  add("steps", figures.steps);
  add("seconds", figures.seconds);
  add("clock_is_virtual", clock_is_virtual(trace));
  auto const add_percentiles = [&](std::string const& name, std::optional<Percentiles> const& found) {
    auto const add_one = [&](char const* which, double Percentiles::*of) {
      table.rows.push_back({name + which, found ? Cell((*found).*of) : Cell(nullptr)});
    };
    add_one("_p50", &Percentiles::p50);
    add_one("_p95", &Percentiles::p95);
    add_one("_p99", &Percentiles::p99);
  };
  add_percentiles("ttft_s", figures.ttft_s);
  add_percentiles("tpot_s", figures.tpot_s);
  add("waiting_share", figures.waiting_share);
  for (std::size_t i = 0; i < loads; ++i) {
    std::string const name = to_string(static_cast<Load>(i));
    table.rows.push_back({name + "_variation", cell(figures.variation[i])});
    table.rows.push_back({name + "_max_over_mean", figures.max_over_mean[i]});
  }
  return table;
}

Table ranks(Trace const& trace, Figures const& figures) {
  Table table{
      "ranks",
      {"rank", "host", "host_name", "kv_capacity_bytes", "memory_peak_bytes", "memory_mean_bytes", "rows_decode", "rows_prefill", "steps_slowest"},
      {}};
  for (auto const& counter : counters) table.columns.emplace_back(counter.name);
  for (std::size_t rank = 0; rank < figures.ranks.size(); ++rank) {
    auto const& given = trace.ranks[rank];
    auto const& found = figures.ranks[rank];
    Row row{given.rank,
            given.host,
            std::string{text_of(given.host_name)},
            given.kv_capacity_bytes,
            found.memory_peak_bytes,
            found.load[static_cast<std::size_t>(Load::memory)],
            found.sums.rows_decode,
            found.sums.rows_prefill,
            found.steps_slowest};
    add_values(row, found.sums.counts);
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table stages_by_rank(Figures const& figures) {
  Table table{"stages", {"rank"}, {}};
  add_names<Stage>(table.columns, stages, "", "_s");
  for (std::size_t rank = 0; rank < figures.ranks.size(); ++rank) {
    Row row{rank};
    add_values(row, figures.ranks[rank].sums.stage_s);
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table stragglers(Figures const& figures) {
  Table table{"stragglers", {"rank", "stage", "seconds", "others_s"}, {}};
  for (auto const& s : figures.stragglers) table.rows.push_back({s.rank, to_string(s.stage), s.seconds, s.others_s});
  return table;
}

Table traffic(Figures const& figures) {
  Table table{"traffic", {"rank"}, {}};
  add_names<Purpose>(table.columns, purposes, "", "_bytes");
  add_names<Purpose>(table.columns, purposes, "", "_messages");
  add_names<Locality>(table.columns, localities, "to_", "_bytes");
  for (std::size_t rank = 0; rank < figures.ranks.size(); ++rank) {
    Row row{rank};
    add_values(row, figures.ranks[rank].sums.bytes);
    add_values(row, figures.ranks[rank].sums.messages);
    add_values(row, figures.ranks[rank].sums.bytes_by_locality);
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table over_time(Figures const& figures) {
  Table table{"over_time", {"first_step", "last_step", "begin_s", "end_s", "tokens_resident", "pages_read", "rows_decode", "rows_prefill"}, {}};
  add_names<Load>(table.columns, loads, "", "_variation");
  add_names<shards::Memory>(table.columns, shards::memory_categories, "memory_", "_bytes");
  add_names<Locality>(table.columns, localities, "to_", "_bytes");
  add_names<Stage>(table.columns, stages, "", "_s");
  for (auto const& window : figures.windows) {
    Row row{window.first_step,       window.last_step,
            window.begin_s,          window.end_s,
            window.tokens_resident,  window.sums.count(&StepRecord::pages_read),
            window.sums.rows_decode, window.sums.rows_prefill};
    for (auto const& value : window.variation) row.push_back(cell(value));
    add_values(row, window.memory);
    add_values(row, window.sums.bytes_by_locality);
    add_values(row, window.sums.stage_s);
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table pages_by_owner(Trace const& trace) {
  Table table{"pages_by_owner", {"step", "owner", "home", "pages"}, {}};
  for (auto const& row : trace.pages_by_owner) table.rows.push_back({row.step, row.owner, row.home, row.pages});
  return table;
}

Table requests(Trace const& trace) {
  Table table{"requests",
              {"index", "id", "home", "prompt_tokens", "generated", "finish", "arrival_s", "first_token_s", "end_s", "rewinds", "stream"},
              {}};
  for (auto const& r : trace.requests)
    table.rows.push_back({r.index, std::string{text_of(r.id)}, r.home, r.prompt_tokens, r.generated, std::string{text_of(r.finish)}, r.arrival,
                          r.first_token, r.end, r.rewinds, to_string(shards::StreamId{r.stream_hi, r.stream_lo})});
  return table;
}

Table faults(Trace const& trace) {
  Table table{"faults", {"step", "rank"}, {}};
  for (auto const& kind : comm::fault_kinds) table.columns.emplace_back(kind.name);
  for (auto const& fault : trace.faults) {
    Row row{fault.step, fault.rank};
    add_values(row, fault.times);
    table.rows.push_back(std::move(row));
  }
  return table;
}

/// By rank: how often each kind was written down.
Table events(Trace const& trace) {
  Table table{"events", {"rank"}, {}};
  auto const figures = event_figures(trace);
  if (!figures) return table;
  table.columns.insert(table.columns.end(), figures->kinds.begin(), figures->kinds.end());
  for (std::size_t rank = 0; rank < figures->by_rank.size(); ++rank) {
    Row row{rank};
    add_values(row, figures->by_rank[rank]);
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table advice_table(std::vector<Advice> const& advice) {
  Table table{"advice", {"rule", "worth", "finding", "change"}, {}};
  for (auto const& a : advice) table.rows.push_back({a.rule, a.worth, a.finding, a.change});
  return table;
}

}   // namespace

std::vector<Table> tables_of(Trace const& trace, Figures const& figures, std::vector<Advice> const& advice) {
  return {job(trace, figures), ranks(trace, figures), stages_by_rank(figures), stragglers(figures), traffic(figures), over_time(figures),
          pages_by_owner(trace), requests(trace),      faults(trace),           events(trace),       advice_table(advice)};
}

}   // namespace pikv::runtime::analyze
