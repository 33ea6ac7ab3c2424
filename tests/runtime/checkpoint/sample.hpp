#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "comm/world.hpp"
#include "runtime/checkpoint/reader.hpp"
#include "runtime/checkpoint/restored_pages.hpp"
#include "runtime/checkpoint/writer.hpp"
#include "shards/mix.hpp"

namespace pikv::runtime::test {

inline constexpr std::int32_t sample_layers = 2;
inline constexpr kernels::PageLayout sample_layout{kernels::DType::f32, 2, 4, 8};

/// Of a job that was given pages of 4 tokens in f32 and a small model.
inline CheckpointFacts sample_facts() {
  CheckpointFacts facts;
  facts.version = "0.1.0";
  facts.commit = "c0ffee";
  facts.saved = "2025-01-31T12:00:00Z";
  facts.reason = "interval";
  facts.step = 40;
  facts.ranks = 1;
  facts.hosts = 1;
  facts.clock_s = 12.5;
  facts.fingerprint = shards::page_fingerprint({1, 2}, sample_layout);
  facts.payload_bytes = sample_layout.bytes();
  facts.options = {{"kv-dtype", std::string{"f32"}}, {"page-tokens", std::string{"4"}}, {"prompts", std::string{"größe.jsonl"}}};
  facts.model = {{"architecture", std::string{"MixtralForCausalLM"}}, {"layers", std::int64_t{sample_layers}}, {"kv_heads", std::int64_t{2}},
                 {"head_dim", std::int64_t{8}}, {"vocab", std::int64_t{256}}, {"max_positions", std::int64_t{64}}, {"rope_theta", 10000.0}};
  return facts;
}

/// 0 is done, 1 runs with 10 tokens in pages, 2 waits, 3 runs with 5, 4 was refused.
inline std::vector<SavedRequest> sample_requests() {
  std::vector<SavedRequest> saved(5);
  auto const prompt = [](std::size_t length) { return std::vector<std::int32_t>(length, 'a'); };
  saved[0].phase = Phase::done;
  saved[0].request = {.id = "größe", .prompt = prompt(3), .max_new_tokens = 4, .stop = {"\n", "ende"}};
  saved[0].result.tokens = {1, 2, 3};
  saved[0].result.finish = Finish::stop;
  saved[1].phase = Phase::running;
  saved[1].request = {.prompt = prompt(8), .max_new_tokens = 9, .arrival_s = 0.5};
  saved[1].result.tokens = {7, 8, 9};
  saved[1].stream = {11, 1};
  saved[1].length = 10;
  saved[2].request = {.prompt = prompt(5), .max_new_tokens = 7};
  saved[3].phase = Phase::running;
  saved[3].request = {.prompt = prompt(6), .max_new_tokens = 2};
  saved[3].stream = {11, 3};
  saved[3].length = 5;
  saved[4].phase = Phase::done;
  saved[4].request = {.prompt = {-1}, .refused = "no such token"};
  saved[4].result.finish = Finish::error;
  saved[4].result.error = "no such token";
  for (std::size_t i = 0; i < saved.size(); ++i) {
    saved[i].request.index = saved[i].result.index = static_cast<std::int64_t>(i);
    saved[i].result.prompt_tokens = static_cast<std::int32_t>(saved[i].request.prompt.size());
    saved[i].result.arrival = saved[i].request.arrival_s;
  }
  return saved;
}

/// The same under policies: of request 1 block 1 of layer 1 is evicted, of request 3 nothing.
inline std::vector<SavedRequest> sample_requests_with_policies() {
  auto saved = sample_requests();
  saved[1].policy = "what they know of stream 1, \n and no text";
  saved[1].evicted = {{1, 1}};
  saved[3].policy = "of stream 3";
  return saved;
}

inline void fill_sample_page(shards::StreamId id, std::int32_t layer, shards::Block block, std::int64_t length, shards::PageHeader& header,
                             std::span<std::byte> payload) {
  for (std::size_t i = 0; i < payload.size(); ++i)
    payload[i] = static_cast<std::byte>(shards::mix(id.lo * 1000 + static_cast<std::uint64_t>(layer * 100 + block) + (i << 20)));
  header = {};
  header.key = {id, static_cast<std::uint16_t>(layer), 0, 2, 0, block};
  header.first_position = shards::first_position(block, 4);
  header.tokens = static_cast<std::uint32_t>(std::min<std::int64_t>(4, length - header.first_position));
  header.fingerprint = sample_facts().fingerprint;
  shards::seal(header, payload, sample_layout);
}

inline shards::StoreOptions sample_store(CheckpointFacts const& facts) {
  shards::StoreOptions options;
  options.layers = sample_layers;
  options.q_heads = 2;
  options.layout = sample_layout;
  options.fingerprint = facts.fingerprint;
  options.slots = options.home_slots = 64;
  options.local = true;
  options.most_rows = 4;
  options.most_streams = 4;
  options.most_blocks = 16;
  options.deadline_s = 20;
  return options;
}

/// A checkpoint of the sample job, which holds pages for the requests that run; request i is at home on rank i mod ranks. `break_page`: row
/// whose page rots in memory before, or -1.
inline WrittenCheckpoint write_sample_on(comm::World& world, std::filesystem::path const& name, CheckpointFacts const& facts = sample_facts(),
                                         std::vector<SavedRequest> const& saved = sample_requests(), int break_page = -1) {
  shards::Store store{world, sample_store(facts)};
  HomeState state;
  std::vector<Request> requests;
  for (SavedRequest const& one : saved) {
    requests.push_back(one.request);
    if (one.phase == Phase::waiting || one.request.index % world.size() != world.rank()) continue;
    state.progress.push_back({one.request.index, one.phase, one.result, one.stream, one.length, one.policy, one.evicted});
    if (one.phase != Phase::running) continue;
    shards::Stream& stream = store.open(one.stream, 16);
    for (shards::Block block = 0; block < shards::blocks_for(one.length, 4); ++block) {
      shards::PageHeader made;
      std::vector<std::byte> bytes(sample_layout.bytes());
      (void)store.restore(stream, {[&](std::int32_t layer, shards::PageHeader& header) {
                                     fill_sample_page(one.stream, layer, block, one.length, made, bytes);
                                     header = made;
                                     return std::ranges::find(one.evicted, EvictedPage{layer, block}) == one.evicted.end();
                                   },
                                   [&](std::int32_t, std::span<std::byte> payload) { std::ranges::copy(bytes, payload.begin()); }});
    }
    auto const pages = shards::pages_of(store, stream, world.rank());
    state.pages.insert(state.pages.end(), pages.begin(), pages.end());
  }
  if (break_page >= 0) store.arena().payload({state.pages[static_cast<std::size_t>(break_page)].slot})[5] ^= std::byte{1};
  return CheckpointWriter{world, store, nullptr, 30}.write(name, facts, requests, state);
}

inline WrittenCheckpoint write_sample(std::filesystem::path const& name, CheckpointFacts const& facts = sample_facts(),
                                      std::vector<SavedRequest> const& saved = sample_requests(), int break_page = -1) {
  return write_sample_on(*comm::make_solo_world(), name, facts, saved, break_page);
}

/// A checkpoint of a job on this rank alone that went on from `from` and has read no page of it yet.
inline WrittenCheckpoint write_unread(std::filesystem::path const& name, CheckpointReader const& from) {
  auto const world = comm::make_solo_world();
  shards::Store store{*world, sample_store(from.facts())};
  RestoredPages const restored{from, sample_layers};
  HomeState state;
  std::vector<Request> requests;
  for (SavedRequest const& one : from.requests()) {
    requests.push_back(one.request);
    if (one.phase != Phase::waiting) state.progress.push_back({one.request.index, one.phase, one.result, one.stream, one.length, one.policy, one.evicted});
  }
  for (std::size_t row = 0; row < from.pages().size(); ++row) state.unread.push_back({static_cast<std::int64_t>(row), from.pages()[row]});
  return CheckpointWriter{*world, store, &restored, 30}.write(name, from.facts(), requests, state);
}

}  // namespace pikv::runtime::test
