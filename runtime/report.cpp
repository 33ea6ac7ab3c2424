#include "runtime/report.hpp"

#include <optional>
#include <variant>
#include <vector>

#include "runtime/attributes.hpp"
#include "runtime/latency.hpp"
#include "shards/account.hpp"

namespace pikv::runtime {
namespace {

using Json = nlohmann::ordered_json;
using shards::Memory;

template <typename Enum, typename Array>
auto at(Array const& values, Enum which) {
  return values[static_cast<std::size_t>(which)];
}

Json latencies(std::span<Result const> results, std::optional<double> (*latency)(Result const&)) {
  std::vector<double> values;
  for (auto const& result : results)
    if (auto const seconds = latency(result)) values.push_back(*seconds);
  auto const found = percentiles(std::move(values));
  if (!found) return {{"p50", nullptr}, {"p95", nullptr}, {"p99", nullptr}};
  return {{"p50", found->p50}, {"p95", found->p95}, {"p99", found->p99}};
}

Json attributes_json(Attributes const& attributes) {
  Json json = Json::object();
  for (auto const& attribute : attributes) std::visit([&](auto const& value) { json[attribute.name] = value; }, attribute.value);
  return json;
}

Json finish_json(std::span<Result const> results) {
  Json json = {{"eos", 0}, {"length", 0}, {"stop", 0}, {"error", 0}};
  for (auto const& result : results) json[to_string(result.finish)] = json[to_string(result.finish)].get<int>() + 1;
  return json;
}

std::uint64_t resident(MemoryMoment const& memory) {
  std::uint64_t bytes = 0;
  for (std::size_t category = 0; category < shards::memory_categories; ++category)
    if (static_cast<Memory>(category) != Memory::free) bytes += memory.bytes[category];
  return bytes;
}

Json memory_json(MemoryMoment const& memory) {
  Json json = {{"bytes_resident", resident(memory)}};
  for (auto const category : {Memory::payload, Memory::header, Memory::summaries, Memory::slack, Memory::replicas})
    json[to_string(category)] = at(memory.bytes, category);
  return json;
}

/// The same tokens in one shared cache of bf16.
std::uint64_t uncompressed_bytes(std::uint64_t tokens, ModelConfig const& model) {
  auto const scalars = 2 * static_cast<std::uint64_t>(model.kv_heads) * static_cast<std::uint64_t>(model.head_dim);
  return tokens * static_cast<std::uint64_t>(model.layers) * scalars * 2;
}

Json kv_json(ReportInput const& input) {
  auto const& summary = input.summary;
  auto const& totals = summary.totals;
  Json json = memory_json(summary.memory);
  json["tiers"] = {{"host", summary.memory.tiers[0]}, {"file", summary.memory.tiers[1]}};
  json["bytes_peak"] = summary.memory.peak;
  json["message_buffers"] = summary.memory.message_buffers;
  json["bytes_uncompressed_equivalent"] = uncompressed_bytes(summary.memory.tokens_resident, input.model);
  json["tokens_appended"] = totals.tokens_appended;
  json["tokens_resident"] = summary.memory.tokens_resident;
  json["cells_evicted"] = totals.cells_evicted;
  json["pages_sealed"] = totals.pages_sealed;
  json["pages_remote"] = totals.pages_remote;
  json["by_rank"] = Json::array();
  for (auto const& memory : summary.by_rank) json["by_rank"].push_back(memory_json(memory));
  return json;
}

Json transfer_json(Totals const& totals) {
  auto const by_locality = [&](Locality where) { return at(totals.bytes_by_locality, where); };
  return {{"push_bytes", at(totals.bytes, Purpose::push)},
          {"fetch_bytes", at(totals.bytes, Purpose::fetch)},
          {"query_bytes", at(totals.bytes, Purpose::query)},
          {"partial_bytes", at(totals.bytes, Purpose::partial)},
          {"ffn_bytes", at(totals.bytes, Purpose::dispatch) + at(totals.bytes, Purpose::combine)},
          {"control_bytes", at(totals.bytes, Purpose::control)},
          {"messages", totals.messages},
          {"exchanges", totals.exchanges},
          {"by_locality",
           {{"rank", by_locality(Locality::rank)}, {"node", by_locality(Locality::node)}, {"remote", by_locality(Locality::remote)}}}};
}

Json integrity_json(Totals const& totals) {
  return {{"checked", totals.checked}, {"scrubbed", totals.scrubbed},   {"corrupt", totals.corrupt}, {"stale", totals.stale},
          {"timeout", totals.timeout}, {"refetched", totals.refetched}, {"rewinds", totals.rewinds}};
}

Json cache_json(Totals const& totals) {
  Json json = {{"page_reads", totals.page_reads}, {"hits", totals.hits}, {"hit_rate", nullptr}};
  if (totals.page_reads > 0) json["hit_rate"] = static_cast<double>(totals.hits) / static_cast<double>(totals.page_reads);
  return json;
}

Json stages_json(Totals const& totals) {
  Json json;
  for (std::size_t stage = 0; stage < stages; ++stage) json[to_string(static_cast<Stage>(stage))] = totals.stage_s[stage];
  return json;
}

Json codec_json(ReportInput const& input) {
  Json json = {{"name", input.codec}, {"stated_ratio", input.codec_stated_ratio}};
  if (!input.cold_codec.empty())
    json["cold"] = {{"name", input.cold_codec}, {"after", input.cold_after}, {"stated_ratio", input.cold_stated_ratio}, {"pages_recoded", input.summary.totals.pages_recoded}};
  return json;
}

}  // namespace

Json make_report(ReportInput const& input) {
  auto const& summary = input.summary;
  auto const& totals = summary.totals;
  std::uint64_t prompt_tokens = 0, generated_tokens = 0;
  for (auto const& result : input.results) {
    prompt_tokens += static_cast<std::uint64_t>(result.prompt_tokens);
    generated_tokens += result.tokens.size();
  }
  Json report = {{"version", input.version},
                 {"command", input.command},
                 {"ranks", summary.ranks},
                 {"hosts", summary.hosts},
                 {"model", attributes_json(model_attributes(input.model, input.parameters))},
                 {"requests", input.results.size()},
                 {"finish", finish_json(input.results)},
                 {"prompt_tokens", prompt_tokens},
                 {"generated_tokens", generated_tokens},
                 {"steps", summary.steps},
                 {"seconds", summary.seconds},
                 {"tokens_per_second", summary.seconds > 0 ? static_cast<double>(generated_tokens - input.generated_before) / summary.seconds : 0.0},
                 {"ttft_s", latencies(input.results, ttft_s)},
                 {"tpot_s", latencies(input.results, tpot_s)},
                 {"kv", kv_json(input)},
                 {"codec", codec_json(input)},
                 {"transfer", transfer_json(totals)},
                 {"integrity", integrity_json(totals)},
                 {"cache", cache_json(totals)},
                 {"migration", {{"pages_moved", totals.pages_moved}, {"moves_refused", totals.moves_refused}, {"bytes", totals.migration_bytes}}},
                 {"tiers", {{"reads", totals.tier_reads}, {"pages_demoted", totals.pages_demoted}, {"pages_promoted", totals.pages_promoted}}},
                 {"stages_s", stages_json(totals)}};
  if (!input.resumed_from.empty()) report["resumed"] = {{"from", input.resumed_from}, {"generated_tokens", input.generated_before}};
  if (summary.faults) report["faults"] = attributes_json(fault_attributes(*summary.faults));
  return report;
}

std::string report_text(Json const& report) { return report.dump(2, ' ', false, Json::error_handler_t::replace) + '\n'; }

}  // namespace pikv::runtime
