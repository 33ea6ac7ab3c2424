#include "runtime/fidelity/fidelity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "comm/message.hpp"
#include "runtime/cache_settings.hpp"

namespace pikv::runtime {

namespace {

struct Row {   // of a scored position, as ranks tell each other
  std::uint64_t task = 0;
  LogitDifference difference;
};

template <typename T>
std::vector<T> gather(comm::World& world, std::vector<T> const& mine, double deadline_s) {
  std::vector<T> all;
  for (comm::Bytes const& bytes : world.all_gather(std::as_bytes(std::span{mine}), world.in(deadline_s))) {
    std::size_t const n = bytes.size() / sizeof(T), before = all.size();
    all.resize(before + n);
    if (n > 0) std::memcpy(all.data() + before, bytes.data(), n * sizeof(T));
  }
  return all;
}

double mean(std::vector<float> const& values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Nearest rank.
double quantile(std::vector<float> values, double q) {
  if (values.empty()) return 0;
  auto const rank = static_cast<std::ptrdiff_t>(std::max(1.0, std::ceil(q * static_cast<double>(values.size())))) - 1;
  std::nth_element(values.begin(), values.begin() + rank, values.end());
  return values[static_cast<std::size_t>(rank)];
}

// 95 % of the mean of paired differences.
double half_interval(std::vector<TaskScore> const& needles) {
  double const n = static_cast<double>(needles.size());
  double sum = 0, squares = 0;
  for (TaskScore const& needle : needles) {
    double const d = static_cast<double>(needle.found) - static_cast<double>(needle.exact);
    sum += d;
    squares += d * d;
  }
  if (squares == 0 && n > 0) return std::min(1.0, 3 / n);   // none differs: the rule of three
  return n < 2 ? 1 : 1.96 * std::sqrt(std::max(0.0, (squares - sum * sum / n) / (n - 1)) / n);
}

struct Rates {
  std::size_t count = 0, exact = 0, found = 0;
  void add(TaskScore const& needle) {
    ++count;
    exact += needle.exact ? 1 : 0;
    found += needle.found ? 1 : 0;
  }
  double exact_rate() const { return static_cast<double>(exact) / static_cast<double>(std::max<std::size_t>(count, 1)); }
  double found_rate() const { return static_cast<double>(found) / static_cast<double>(std::max<std::size_t>(count, 1)); }
};

Rates rates_of(std::vector<TaskScore> const& needles) {
  Rates rates;
  for (TaskScore const& needle : needles) rates.add(needle);
  return rates;
}

}  // namespace

void set_byte_ratios(Fidelity& fidelity, GenerateOptions const& options, ModelConfig const& config) {
  PageTables const tables = page_tables(options, config);
  CacheSettings const settings = cache_settings(options, config);
  double const page = static_cast<double>(tables.layout.bytes()), header = shards::header_bytes;
  double const summary = static_cast<double>(CacheManager::summary_bytes_per_page(settings, tables.layout));
  double const ever = static_cast<double>(fidelity.attention.pages_ever), kept = static_cast<double>(fidelity.attention.pages_kept);
  double const bytes_read = static_cast<double>(fidelity.attention.bytes_read), bytes_kept = static_cast<double>(fidelity.attention.bytes_kept);
  fidelity.bytes_read_ratio = (bytes_read + kept * summary_bytes_read(settings, tables.layout)) / (ever * page);
  fidelity.bytes_kept_ratio = (bytes_kept + kept * header + ever * summary) / (ever * (page + header));   // an eviction leaves its page's summary
}


Fidelity gather_fidelity(comm::World& world, std::span<EvalTask const> tasks, LogitComparison const& logits, AttentionFidelity const& attention,
                         double deadline_s) {
  std::vector<Row> mine;
  for (auto const& [place, difference] : logits.differences()) mine.push_back({place.first, difference});
  auto rows = gather(world, mine, deadline_s);
  std::ranges::stable_sort(rows, {}, &Row::task);
  Fidelity all;
  bool const text = has_text(tasks);
  for (std::size_t i = 0; i < rows.size();) {
    EvalTask const& task = tasks[rows[i].task];
    TaskScore score{.task = static_cast<std::int64_t>(rows[i].task), .kind = task.kind, .depth = task.depth, .length = static_cast<std::int64_t>(task.context.size())};
    std::size_t const before = i;
    for (std::size_t const of = rows[i].task; i < rows.size() && rows[i].task == of; ++i) {
      LogitDifference const& difference = rows[i].difference;
      score.exact = score.exact && difference.right_exact;
      score.found = score.found && difference.right;
      score.nll += difference.nll;
      score.nll_exact += difference.nll_exact;
      if (text && task.kind != "text") continue;
      ++all.positions;
      all.nll += difference.nll;
      all.nll_exact += difference.nll_exact;
      all.kl += difference.kl;
      all.top1 += difference.same_top ? 1 : 0;
    }
    score.nll /= static_cast<double>(i - before);
    score.nll_exact /= static_cast<double>(i - before);
    if (task.kind != "text") all.needles.push_back(score);
    all.tasks.push_back(std::move(score));
  }
  double const n = static_cast<double>(std::max<std::uint64_t>(all.positions, 1));
  for (double* const sum : {&all.nll, &all.nll_exact, &all.kl, &all.top1}) *sum /= n;
  all.attention.recall = gather(world, attention.recall, deadline_s);
  all.attention.output_error = gather(world, attention.output_error, deadline_s);
  std::vector<std::uint64_t> const pages = gather(world, std::vector{attention.pages_read, attention.pages_kept, attention.pages_ever, attention.bytes_read, attention.bytes_kept}, deadline_s);
  for (std::size_t i = 0; i < pages.size(); i += 5) {
    all.attention.pages_read += pages[i];
    all.attention.pages_kept += pages[i + 1];
    all.attention.pages_ever += pages[i + 2];
    all.attention.bytes_read += pages[i + 3];
    all.attention.bytes_kept += pages[i + 4];
  }
  return all;
}

nlohmann::json fidelity_json(Fidelity const& fidelity) {
  nlohmann::json json = {{"attention_recall", {{"mean", mean(fidelity.attention.recall)}, {"p05", quantile(fidelity.attention.recall, .05)}}},
                         {"output_error", {{"mean", mean(fidelity.attention.output_error)}, {"p99", quantile(fidelity.attention.output_error, .99)}}},
                         {"bytes_read_ratio", fidelity.bytes_read_ratio},
                         {"bytes_kept_ratio", fidelity.bytes_kept_ratio}};
  if (fidelity.positions > 0)
    json.update({{"positions", fidelity.positions},
                 {"nll", fidelity.nll},
                 {"nll_exact", fidelity.nll_exact},
                 {"perplexity_ratio", std::exp(fidelity.nll - fidelity.nll_exact)},
                 {"kl", fidelity.kl},
                 {"top1_agreement", fidelity.top1}});
  Rates const all = rates_of(fidelity.needles);
  json["needle"] = {{"exact", all.exact_rate()}, {"policy", all.found_rate()}, {"count", all.count}, {"half_interval", half_interval(fidelity.needles)}};
  std::map<std::tuple<std::string, double>, Rates> groups;
  for (TaskScore const& needle : fidelity.needles) groups[{needle.kind, needle.depth}].add(needle);
  for (auto const& [group, rates] : groups)
    json["needle"]["by"].push_back({{"kind", std::get<0>(group)}, {"depth", std::get<1>(group)}, {"exact", rates.exact_rate()}, {"policy", rates.found_rate()}, {"count", rates.count}});
  for (TaskScore const& task : fidelity.tasks)
    json["tasks"].push_back({{"kind", task.kind}, {"nll", task.nll}, {"nll_exact", task.nll_exact}, {"right", task.found}, {"right_exact", task.exact}});
  return json;
}

std::string fidelity_table(Fidelity const& fidelity) {
  AttentionFidelity const& attention = fidelity.attention;
  std::string text;
  if (fidelity.positions > 0) {
    text += fmt::format("scored positions      {}\n", fidelity.positions);
    text += fmt::format("loss, nats a token    {:.5f}, exact {:.5f}\n", fidelity.nll, fidelity.nll_exact);
    text += fmt::format("perplexity ratio      {:.5f}\n", std::exp(fidelity.nll - fidelity.nll_exact));
    text += fmt::format("KL(exact || this)     {:.3g} nats\n", fidelity.kl);
    text += fmt::format("same first choice     {:.2f} %\n", 100 * fidelity.top1);
  }
  text += fmt::format("attention recall      mean {:.5f}, 5th percentile {:.5f}\n", mean(attention.recall), quantile(attention.recall, .05));
  text += fmt::format("output error          mean {:.3g}, 99th percentile {:.3g}\n", mean(attention.output_error), quantile(attention.output_error, .99));
  text += fmt::format("bytes read            {:.2f} % of exact attention's\n", 100 * fidelity.bytes_read_ratio);
  text += fmt::format("bytes kept            {:.2f} % of an uncompressed cache's\n", 100 * fidelity.bytes_kept_ratio);
  if (fidelity.needles.empty()) return text;
  Rates const all = rates_of(fidelity.needles);
  text += fmt::format("needles found         {:.1f} % of {}, exact {:.1f} % (difference within {:.1f} at 95 %)\n", 100 * all.found_rate(), all.count,
                      100 * all.exact_rate(), 100 * half_interval(fidelity.needles));
  std::map<std::tuple<std::string, double>, Rates> groups;
  for (TaskScore const& needle : fidelity.needles) groups[{needle.kind, needle.depth}].add(needle);
  for (auto const& [group, rates] : groups)
    text += fmt::format("  {:<8} depth {:<5.2f} {:5.1f} %, exact {:5.1f} %, of {}\n", std::get<0>(group), std::get<1>(group), 100 * rates.found_rate(),
                        100 * rates.exact_rate(), rates.count);
  return text;
}

}  // namespace pikv::runtime
