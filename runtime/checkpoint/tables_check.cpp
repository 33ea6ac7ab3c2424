#include "runtime/checkpoint/tables_check.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <utility>
#include <vector>

#include "comm/error.hpp"
#include "runtime/checkpoint/resume.hpp"
#include "runtime/storage_choice.hpp"

namespace pikv::runtime {

namespace {

struct Limits {   // of the model
  std::int64_t layers, tables = 0, vocab, max_positions;
  explicit Limits(Attributes const& model)
      : layers{number_in(model, "layers", 0)}, vocab{number_in(model, "vocab", 0)}, max_positions{number_in(model, "max_positions", 0)} {}
};

std::string trouble_of_facts(CheckpointFacts const& facts, Limits const& limits) {
  if (facts.step < 0 || facts.ranks < 1 || facts.hosts < 1 || facts.hosts > facts.ranks || !std::isfinite(facts.clock_s))
    return "step, ranks, hosts or clock are none that a job has";
  if (limits.layers < 1 || limits.layers > 0xFFFF || limits.vocab < 1 || limits.max_positions < 1)
    return "/model has no layers, vocabulary or positions";
  return {};
}

bool all_in(std::vector<std::int32_t> const& tokens, std::int64_t vocab) {
  return std::ranges::all_of(tokens, [&](std::int32_t token) { return token >= 0 && token < vocab; });
}

std::string trouble_of(SavedRequest const& saved, Limits const& limits) {
  auto const prompt = static_cast<std::int64_t>(saved.request.prompt.size()), generated = static_cast<std::int64_t>(saved.result.tokens.size());
  std::int64_t const most = saved.request.max_new_tokens;
  if (saved.phase != Phase::running && saved.length != 0) return "has pages and does not run";
  if (saved.phase == Phase::waiting && generated != 0) return "waits and has generated tokens";
  if (!saved.request.refused.empty()) return generated != 0 || saved.phase == Phase::running ? "was refused and has run" : "";
  if (prompt < 1 || most < 1 || prompt + most > limits.max_positions) return "does not fit the model's positions";
  if (!all_in(saved.request.prompt, limits.vocab) || !all_in(saved.result.tokens, limits.vocab)) return "has a token outside of the vocabulary";
  if (generated > most || (generated == most && saved.phase == Phase::running)) return "has more generated tokens than it may";
  if (saved.phase == Phase::running && (saved.length < 0 || saved.length >= prompt + generated)) return "has more tokens in pages than it has read";
  return {};
}

/// Which pages of a running stream are there, or were evicted.
struct Seen {
  std::int64_t length = 0;
  std::vector<bool> pages;   // [block * tables + table]

  /// What is wrong with one more; empty if it is all right.
  std::string add(std::int32_t table, shards::Block block, Limits const& limits, std::int32_t page_tokens) {
    if (table < 0 || table >= limits.tables) return fmt::format("is of layer {}, which the model does not have", table);
    if (block < 0 || block >= shards::blocks_for(length, page_tokens)) return fmt::format("is of block {}, behind the end of its stream", block);
    auto const at = static_cast<std::size_t>(block) * static_cast<std::size_t>(limits.tables) + static_cast<std::size_t>(table);
    if (pages[at]) return "is there twice";
    pages[at] = true;
    return {};
  }
};

std::string trouble_of(PageRow const& page, std::unordered_map<shards::StreamId, Seen>& streams, Limits const& limits, std::int32_t page_tokens,
                       std::int64_t ranks) {
  auto const stream = streams.find({page.stream_hi, page.stream_lo});
  if (stream == streams.end()) return "is of a stream that no running request has";
  Seen& seen = stream->second;
  if (auto const trouble = seen.add(page.layer, page.block, limits, page_tokens); !trouble.empty()) return trouble;
  if (page.tokens != std::min<std::int64_t>(page_tokens, seen.length - shards::first_position(page.block, page_tokens)))
    return fmt::format("has {} tokens, which is not what its stream's length gives", page.tokens);
  if (page.rank < 0 || page.rank >= ranks) return fmt::format("lay on rank {} of {}", page.rank, ranks);
  return {};
}

/// A page that is being filled is never evicted.
std::string trouble_of(SavedRequest const& saved, Seen& seen, Limits const& limits, std::int32_t page_tokens) {
  for (EvictedPage const& page : saved.evicted) {
    auto const trouble = shards::first_position(page.block + 1, page_tokens) > seen.length ? "is not full" : seen.add(page.layer, page.block, limits, page_tokens);
    if (!trouble.empty()) return fmt::format("has evicted a page (layer {}, block {}) that {}", page.layer, page.block, trouble);
  }
  return {};
}

std::string trouble_of_tables(CheckpointReader const& checkpoint) {
  CheckpointFacts const& facts = checkpoint.facts();
  Limits limits{facts.model};
  if (auto const trouble = trouble_of_facts(facts, limits); !trouble.empty()) return trouble;
  PageTables const tables = page_tables(facts);
  limits.tables = tables.all;
  std::int32_t const page_tokens = tables.layout.page_tokens;
  std::unordered_map<shards::StreamId, Seen> streams;
  for (SavedRequest const& saved : checkpoint.requests()) {
    auto const of_request = [&](std::string const& trouble) { return fmt::format("request {} {}", saved.request.index, trouble); };
    if (auto const trouble = trouble_of(saved, limits); !trouble.empty()) return of_request(trouble);
    if (saved.phase != Phase::running) continue;
    auto const blocks = static_cast<std::size_t>(shards::blocks_for(saved.length, page_tokens));
    auto const [seen, is_new] = streams.try_emplace(saved.stream, Seen{saved.length, std::vector<bool>(blocks * static_cast<std::size_t>(limits.tables))});
    if (!is_new) return of_request("shares its stream with another");
    if (auto const trouble = trouble_of(saved, seen->second, limits, page_tokens); !trouble.empty()) return of_request(trouble);
  }
  for (std::size_t row = 0; row < checkpoint.pages().size(); ++row)
    if (auto const trouble = trouble_of(checkpoint.pages()[row], streams, limits, page_tokens, facts.ranks); !trouble.empty())
      return fmt::format("page {} {}", row, trouble);
  return {};
}

}   // namespace

PageTables page_tables(CheckpointFacts const& facts) {
  GivenOptions shape;
  for (char const* name : {"kv-dtype", "page-tokens"}) {
    auto const value = value_of(facts.options, name);
    shape[name] = {value, fmt::format("{}={}", name, value)};
  }
  GenerateOptions options;
  try {
    options = generate_options_from(std::move(shape));
    options.scheduler = value_of(facts.options, "scheduler");
    if (!schedulers().contains(options.scheduler)) throw InputError(fmt::format("scheduler={} is none", options.scheduler));
    for (auto const& [name, codec] : {std::pair{"codec", &options.codec}, {"codec-k", &options.codec_k}, {"codec-v", &options.codec_v}})
      if (std::ranges::find(facts.options, name, &Attribute::name) != facts.options.end()) *codec = text_in(facts.options, name);
    if (auto const stage = storage_choice(options).selection) options.selection = make_selection(*stage);
  } catch (InputError const& error) {
    throw RunError(fmt::format("its options are none that a job has: {}", error.what()));
  }
  std::int64_t const kv_heads = number_in(facts.model, "kv_heads", 0), head_dim = number_in(facts.model, "head_dim", 0);
  constexpr std::int64_t most = 1 << 15;
  if (kv_heads < 1 || kv_heads > most || head_dim < 1 || head_dim > most) throw RunError("/model has no KV heads or no head_dim");
  ModelConfig config;
  config.layers = static_cast<std::int32_t>(std::clamp<std::int64_t>(number_in(facts.model, "layers", 0), 0, 0xFFFF));
  config.q_heads = config.kv_heads = static_cast<std::int32_t>(kv_heads);   // how many query heads there are plays no part
  config.head_dim = static_cast<std::int32_t>(head_dim);
  PageTables const tables = page_tables(options, config);
  if (tables.layout.bytes() != facts.payload_bytes)
    throw RunError(fmt::format("its pages are {} bytes long, its options and model give {}", facts.payload_bytes, tables.layout.bytes()));
  return tables;
}

std::string contradiction_in(CheckpointReader const& checkpoint) {
  try {
    return trouble_of_tables(checkpoint);
  } catch (RunError const& error) {
    return error.what();
  }
}

}   // namespace pikv::runtime
