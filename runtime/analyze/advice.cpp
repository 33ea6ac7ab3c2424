#include "runtime/analyze/advice.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <optional>

#include "runtime/analyze/quantity.hpp"
#include "runtime/analyze/windows.hpp"

namespace pikv::runtime::analyze {
namespace {

struct Run {
  Trace const& trace;
  Figures const& figures;

  std::string option(char const* name) const { return text_in(trace.options, name); }
  std::int64_t number(char const* name) const { return number_in(trace.options, name, 0); }
  std::size_t ranks() const { return figures.ranks.size(); }
  double share(Stage stage) const { return share_of(figures.all.stage_s[static_cast<std::size_t>(stage)], figures.all.seconds()).value_or(0); }
  std::string name_of(std::size_t rank) const { return fmt::format("rank {} ({})", rank, text_of(trace.ranks[rank].host_name)); }
  double per_step(std::int64_t sum) const { return static_cast<double>(sum) / static_cast<double>(std::max<std::size_t>(trace.steps.size(), 1)); }
  double sequences() const { return per_step(figures.all.sequences); }   // running, per rank
  bool requests_waited() const { return std::ssize(trace.requests) > number("batch") * std::ssize(figures.ranks); }
};

using Found = std::optional<Advice>;

std::size_t rank_with_most(Run const& run, auto const& value) {
  return static_cast<std::size_t>(std::ranges::max_element(run.figures.ranks, {}, value) - run.figures.ranks.begin());
}

Found damaged_pages(Run const& run) {
  auto const corrupt = run.figures.all.count(&StepRecord::corrupt);
  if (corrupt == 0 || !run.option("fault-plan").empty()) return {};
  auto const where = rank_with_most(run, [](RankFigures const& rank) { return rank.sums.count(&StepRecord::corrupt); });
  return Advice{"damaged pages", 2,
                fmt::format("{} of {} checked pages were damaged, most of them seen by {}", corrupt, run.figures.all.count(&StepRecord::checked),
                            run.name_of(where)),
                "test that host's memory and network; --transport mpi tells whether the transport has a part in it"};
}

Found waiting_for_a_rank(Run const& run) {
  double const worth = run.figures.waiting_share;
  if (run.ranks() < 2 || clock_is_virtual(run.trace) || worth < 0.1) return {};
  auto const slowest = rank_with_most(run, [](RankFigures const& rank) { return rank.sums.busy_s(); });
  auto const& sums = run.figures.ranks[slowest].sums;
  double const rows =
      share_of(static_cast<double>(sums.rows() * static_cast<std::int64_t>(run.ranks())), static_cast<double>(run.figures.all.rows())).value_or(1);
  auto const finding =
      fmt::format("ranks wait {} of their time for the busiest one of the step; {} is busy for the longest, with {:.2f} times the mean of rows",
                  share_text(worth), run.name_of(slowest), rows);
  if (rows > 1.1)
    return Advice{"waiting for a rank", worth, finding, "spread the work: as many requests as ranks times --batch or more, long prompts first"};
  return Advice{"waiting for a rank", worth, finding, "look at that host: other programs on it, fewer cores; --threads and --bind-to of mpirun"};
}

Found communication(Run const& run) {
  double const worth = run.share(Stage::communication) - run.figures.waiting_share;
  if (run.ranks() < 2 || clock_is_virtual(run.trace) || worth < 0.4) return {};
  auto const finding = fmt::format("communication takes {} of the time beyond waiting for the busiest rank, at {:.1f} rows per rank and step",
                                   share_text(worth), run.per_step(run.figures.all.rows()));
  if (run.option("transport") == "mpi") return Advice{"communication", worth, finding, "--transport auto, which takes UCX where it is built in"};
  if (run.requests_waited() && run.sequences() > 0.5 * static_cast<double>(run.number("batch")))
    return Advice{"communication", worth, finding,
                  fmt::format("--batch {} (now {}), so that an exchange carries more rows", 2 * run.number("batch"), run.number("batch"))};
  return Advice{"communication", worth, finding,
                fmt::format("fewer ranks or more requests at once, so that an exchange carries more rows: {:.1f} of --batch {} ran", run.sequences(),
                            run.number("batch"))};
}

Found full_memory(Run const& run) {
  auto const used = [&](std::size_t rank) {
    return share_of(static_cast<double>(run.figures.ranks[rank].memory_peak_bytes), static_cast<double>(run.trace.ranks[rank].kv_capacity_bytes))
        .value_or(0);
  };
  std::size_t fullest = 0;
  for (std::size_t rank = 0; rank < run.ranks(); ++rank) fullest = used(rank) > used(fullest) ? rank : fullest;
  double const empty = 1 - run.sequences() / static_cast<double>(std::max<std::int64_t>(run.number("batch"), 1));
  if (used(fullest) < 0.9 || empty < 0.1 || !run.requests_waited()) return {};
  return Advice{"full memory", empty,
                fmt::format("{} filled {} of its KV memory while {} of the places of --batch stood empty", run.name_of(fullest),
                            share_text(used(fullest)), share_text(empty)),
                fmt::format("a larger --kv-budget (now {} on that rank), or more ranks",
                            bytes_text(static_cast<double>(run.trace.ranks[fullest].kv_capacity_bytes)))};
}

Found slack(Run const& run) {
  auto const peak = std::ranges::max_element(run.figures.windows, {}, [](Window const& w) { return resident(w.memory); });
  if (peak == run.figures.windows.end()) return {};
  double const worth =
      share_of(static_cast<double>(peak->memory[static_cast<std::size_t>(shards::Memory::slack)]), static_cast<double>(resident(peak->memory)))
          .value_or(0);
  if (worth < 0.2) return {};
  return Advice{"slack", worth, fmt::format("{} of the KV memory is slack: pages are smaller than the slots they lie in", share_text(worth)),
                fmt::format("--page-tokens {} (now {})", 2 * run.number("page-tokens"), run.number("page-tokens"))};
}

Found uneven_memory(Run const& run) {
  auto const cv = run.figures.variation[static_cast<std::size_t>(Load::memory)].value_or(0);
  if (cv < 0.2) return {};
  double const most = run.figures.max_over_mean[static_cast<std::size_t>(Load::memory)];
  auto const fullest = rank_with_most(run, [](RankFigures const& rank) { return rank.load[static_cast<std::size_t>(Load::memory)]; });
  auto const finding = fmt::format("KV memory varies by {} over ranks; {} holds {:.2f} times the mean", share_text(cv), run.name_of(fullest), most);
  if (run.option("store") == "local")
    return Advice{"uneven memory", 1 - 1 / most, finding, "--store sharded, which lets other ranks store the pages"};
  return Advice{"uneven memory", 1 - 1 / most, finding, fmt::format("more --kv-experts, or another --home (now {})", run.option("home"))};
}

Found uneven_reads(Run const& run) {
  auto const cv = run.figures.variation[static_cast<std::size_t>(Load::expert)].value_or(0);
  double const most = run.figures.max_over_mean[static_cast<std::size_t>(Load::expert)];
  if (cv < 0.2) return {};
  auto const reader = rank_with_most(run, [](RankFigures const& rank) { return rank.load[static_cast<std::size_t>(Load::expert)]; });
  return Advice{"uneven reads", (1 - 1 / most) * run.share(Stage::attention),
                fmt::format("page reads vary by {} over ranks; {} reads {:.2f} times the mean", share_text(cv), run.name_of(reader), most),
                "spread long requests over the input, since neighbours in it go to different ranks"};
}

Found pages_moved(Run const& run) {
  auto const bytes = [&](Purpose purpose) { return static_cast<double>(run.figures.all.bytes[static_cast<std::size_t>(purpose)]); };
  double const queries = bytes(Purpose::query) + bytes(Purpose::partial);
  double const worth = share_of(bytes(Purpose::fetch), static_cast<double>(run.figures.all.bytes_to_others())).value_or(0);
  if (run.option("move") != "page" || worth < 0.2) return {};
  return Advice{"pages moved", worth,
                fmt::format("{} were fetched as pages, {} of what ranks sent, against {} of queries and partials", bytes_text(bytes(Purpose::fetch)),
                            share_text(worth), bytes_text(queries)),
                "--move auto, which moves the query where that is less"};
}

Found long_prefills(Run const& run) {
  std::vector<double> with, without;   // seconds of the busiest rank, of steps that decode
  for_each_step(run.trace.steps, [&](std::span<StepRecord const> step) {
    Sums all;
    double busiest = 0;
    for (auto const& row : step) {
      Sums one;
      one.add(row);
      all.add(row);
      busiest = std::max(busiest, one.busy_s());
    }
    if (all.rows_decode > 0) (all.rows_prefill > 0 ? with : without).push_back(busiest);
  });
  auto const median = [](std::vector<double>& values) {
    std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
    return values[values.size() / 2];
  };
  if (with.empty() || without.empty() || static_cast<double>(with.size()) < 0.05 * static_cast<double>(with.size() + without.size())) return {};
  double const slow = median(with), fast = median(without);
  if (fast <= 0 || slow < 3 * fast || run.number("prefill-chunk") < 32) return {};
  double const mixed = static_cast<double>(with.size()) * slow,
               worth = mixed / (mixed + static_cast<double>(without.size()) * fast) * (1 - fast / slow) / 2;
  return Advice{"long prefills", worth,
                fmt::format("a decode step that also reads a prompt takes {:.1f} times as long as one that does not ({} against {})", slow / fast,
                            seconds_text(slow), seconds_text(fast)),
                fmt::format("--prefill-chunk {} (now {}) for steadier tokens, at the cost of a later first one", run.number("prefill-chunk") / 4,
                            run.number("prefill-chunk"))};
}

constexpr std::array rules = {damaged_pages, waiting_for_a_rank, communication, full_memory,  slack,
                              uneven_memory, uneven_reads,       pages_moved,   long_prefills};

}   // namespace

std::vector<Advice> advice_for(Trace const& trace, Figures const& figures) {
  std::vector<Advice> all;
  for (auto const rule : rules)
    if (auto found = rule({trace, figures})) all.push_back(std::move(*found));
  std::ranges::stable_sort(all, std::greater{}, &Advice::worth);
  return all;
}

}   // namespace pikv::runtime::analyze
