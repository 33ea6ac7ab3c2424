#include "runtime/summary.hpp"

#include <fmt/core.h>

#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace pikv::runtime {
namespace {

using Json = nlohmann::ordered_json;

std::string bytes(Json const& number) {
  double value = number.get<double>();
  if (value < 1024) return fmt::format("{:.0f} B", value);
  for (char const* unit : {"KiB", "MiB", "GiB"}) {
    value /= 1024;
    if (value < 1024) return fmt::format("{:.1f} {}", value, unit);
  }
  return fmt::format("{:.1f} TiB", value / 1024);
}

std::string duration(Json const& seconds) {
  if (seconds.is_null()) return "n/a";
  double const value = seconds.get<double>();
  if (value == 0) return "0 s";
  if (value < 1e-3) return fmt::format("{:.1f} us", value * 1e6);
  if (value < 1) return fmt::format("{:.1f} ms", value * 1e3);
  return fmt::format("{:.2f} s", value);
}

std::string share(double part, double whole) { return whole > 0 ? fmt::format("{:.1f} %", 100 * part / whole) : "n/a"; }

std::string count(std::uint64_t n, std::string_view one) { return fmt::format("{} {}{}", n, one, n == 1 ? "" : "s"); }

// In process the clock is virtual and stands still while ranks compute: there is no speed to tell.
std::string speed(Json const& report) {
  if (report["seconds"].get<double>() == 0) return report["steps"] == 0 ? "; nothing ran" : "; no speeds: the clock is virtual";
  return fmt::format(" in {}: {:.1f} tokens/s", duration(report["seconds"]), report["tokens_per_second"].get<double>());
}

std::string before(Json const& report) {
  return report.contains("resumed") ? fmt::format(" ({} of them before the checkpoint)", report["resumed"]["generated_tokens"].get<std::uint64_t>()) : "";
}

std::string requests(Json const& report) {
  auto const& finish = report["finish"];
  return fmt::format(
      "requests    {} on {}, {}, {}: {} eos, {} length, {} stop, {} error\n"
      "tokens      {} read, {} generated{}\n\n",
      report["requests"].get<std::uint64_t>(), count(report["ranks"], "rank"), count(report["hosts"], "host"), count(report["steps"], "step"),
      finish["eos"].get<int>(), finish["length"].get<int>(), finish["stop"].get<int>(), finish["error"].get<int>(),
      report["prompt_tokens"].get<std::uint64_t>(), report["generated_tokens"].get<std::uint64_t>(), before(report) + speed(report));
}

std::string latency(Json const& report) {
  std::string text = fmt::format("{:<17}{:>11}{:>11}{:>11}\n", "latency", "p50", "p95", "p99");
  for (auto const& [label, key] : {std::pair{"first token", "ttft_s"}, std::pair{"per token", "tpot_s"}}) {
    auto const& p = report[key];
    text += fmt::format("  {:<15}{:>11}{:>11}{:>11}\n", label, duration(p["p50"]), duration(p["p95"]), duration(p["p99"]));
  }
  return text + '\n';
}

// Of a job whose pages cool: what the levels state, and how many pages went from one to the other.
std::string codec(Json const& report) {
  auto const& warm = report["codec"];
  if (!warm.contains("cold")) return "";
  auto const& cold = warm["cold"];
  return fmt::format("codec       {} keeps {:.1f} % of uncompressed pages, {} after {} tokens {:.1f} %: {} recoded\n", warm["name"].get<std::string>(),
                     100 * warm["stated_ratio"].get<double>(), cold["name"].get<std::string>(), cold["after"].get<std::int64_t>(),
                     100 * cold["stated_ratio"].get<double>(), count(cold["pages_recoded"], "page"));
}

std::string memory(Json const& report) {
  auto const& kv = report["kv"];
  double const resident = kv["bytes_resident"].get<double>();
  std::string text = fmt::format("{:<17}{:>11}{:>11}   at the end of the fullest step ({})\n", "KV memory", "bytes", "share",
                                 count(kv["tokens_resident"], "token"));
  for (char const* part : {"payload", "header", "summaries", "slack", "replicas"})
    text += fmt::format("  {:<15}{:>11}{:>11}\n", part, bytes(kv[part]), share(kv[part].get<double>(), resident));
  text += fmt::format("  {:<15}{:>11}{:>11}   of the same tokens in bf16 ({})\n", "resident", bytes(kv["bytes_resident"]),
                      share(resident, kv["bytes_uncompressed_equivalent"].get<double>()), bytes(kv["bytes_uncompressed_equivalent"]));
  for (char const* tier : {"host", "file"})
    if (kv["tiers"][tier] > 0) text += fmt::format("  {:<15}{:>11}{:>11}   slower tier, beside what is resident\n", fmt::format("in {}", tier), bytes(kv["tiers"][tier]), "");
  text += fmt::format("  {:<15}{:>11}\n", "peak", bytes(kv["bytes_peak"]));
  text += fmt::format("  {:<15}{:>11}{:>11}   beside the KV memory, all the time\n", "message buffers", bytes(kv["message_buffers"]), "");
  auto const sealed = kv["pages_sealed"].get<double>(), remote = kv["pages_remote"].get<double>();
  text += fmt::format("pages       {:.0f} sealed, {:.0f} ({}) stored on another rank than their home\n", sealed, remote, share(remote, sealed));
  return text + codec(report) + '\n';
}

std::string traffic(Json const& report) {
  auto const& transfer = report["transfer"];
  std::initializer_list<char const*> const purposes{"push", "fetch", "query", "partial", "ffn", "control"};
  auto const of = [&](char const* purpose) -> Json const& { return transfer[std::string{purpose} + "_bytes"]; };
  double total = 0;
  for (char const* purpose : purposes) total += of(purpose).get<double>();
  std::string text = fmt::format("{:<17}{:>11}{:>11}   {}, {}\n", "traffic", "bytes", "share", count(transfer["messages"], "message"),
                                 count(transfer["exchanges"], "exchange"));
  for (char const* purpose : purposes)
    text += fmt::format("  {:<15}{:>11}{:>11}\n", purpose, bytes(of(purpose)), share(of(purpose).get<double>(), total));
  auto const& to = transfer["by_locality"];
  return text + fmt::format("  to the same host {}, to other hosts {}; inside a rank {}\n\n", bytes(to["node"]), bytes(to["remote"]),
                            bytes(to["rank"]));
}

std::string faults(Json const& report) {
  if (!report.contains("faults")) return "";
  std::string kinds;
  for (auto const& [kind, times] : report["faults"].items()) kinds += fmt::format("{}{} {}", kinds.empty() ? "" : ", ", times.get<std::uint64_t>(), kind);
  return fmt::format("faults      made by --fault-plan: {}\n", kinds);
}

std::string integrity(Json const& report) {
  auto const& seen = report["integrity"];
  auto const& cache = report["cache"];
  auto const n = [&](char const* key) { return seen[key].get<std::uint64_t>(); };
  return fmt::format("integrity   {} checked ({} in the background): {} corrupt, {} stale, {} timed out, {} fetched again, {}\n",
                     count(seen["checked"], "page"), n("scrubbed"), n("corrupt"), n("stale"), n("timeout"), n("refetched"),
                     count(seen["rewinds"], "rewind")) +
         faults(report) +
         fmt::format("cache       {}, hit rate {}\n\n", count(cache["page_reads"], "page read"),
                     share(cache["hits"].get<double>(), cache["page_reads"].get<double>()));
}

std::string time(Json const& report) {
  double total = 0;
  for (auto const& seconds : report["stages_s"]) total += seconds.get<double>();
  std::string text = fmt::format("{:<17}{:>11}{:>11}   sum over ranks\n", "time", "", "share");
  for (auto const& [stage, seconds] : report["stages_s"].items())
    text += fmt::format("  {:<15}{:>11}{:>11}\n", stage, duration(seconds), share(seconds.get<double>(), total));
  return text;
}

}  // namespace

std::string summary_text(Json const& report) {
  return requests(report) + latency(report) + memory(report) + traffic(report) + integrity(report) + time(report);
}

}  // namespace pikv::runtime
