#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "runtime/scheduling/retention.hpp"
#include "runtime/scheduling/schedulers.hpp"

namespace pikv::test {

using namespace runtime;

inline std::vector<Block> blocks(Block n) {
  std::vector<Block> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

/// A policy for one table with one head, unless a test says otherwise.
inline SchedulerMaterial material(LayerShape shape = {}) { return {.shape = shape, .summaries = {}}; }

/// One query reads `pages` with these masses, the same for each head.
inline void read(Scheduler& scheduler, std::int64_t position, std::vector<Block> const& pages, std::vector<float> const& mass,
                 std::int32_t table = 0) {
  scheduler.read({.table = table, .first_position = position, .rows = 1, .pages = pages, .mass = mass});
}

/// A step in which these pages were read and nothing else: what `pikv replay` says of a request.
inline void request(Scheduler& scheduler, std::vector<Block> pages) {
  std::sort(pages.begin(), pages.end());
  read(scheduler, 0, pages, std::vector<float>(pages.size(), 1 / static_cast<float>(pages.size())));
  scheduler.tick();
}

inline std::vector<float> utilities(Scheduler& scheduler, std::vector<Block> const& pages, Budget const& budget = {}, std::int32_t table = 0) {
  std::vector<float> u(pages.size(), -1);
  scheduler.utilities(table, pages, budget, u);
  return u;
}

/// Sealed pages of one table, none pinned.
inline std::vector<HeldPage> hold(std::vector<Block> const& pages, std::int32_t page_tokens = 1) {
  std::vector<HeldPage> held;
  for (Block const page : pages) held.push_back({.block = page, .tokens = page_tokens, .pinned = false});
  return held;
}

/// Of pages that hold one key each, keys[page] = [kv_heads][head_dim]: mean and box are that key.
inline PageSummaries summaries_of(std::vector<std::vector<float>> const& keys, std::int32_t kv_heads = 1) {
  auto const width = keys.front().size();
  kernels::PageLayout const layout{kernels::DType::f32, kv_heads, 1, static_cast<std::int32_t>(width) / kv_heads};
  std::vector<float> pool;
  for (auto const& key : keys) {
    pool.insert(pool.end(), key.begin(), key.end());
    pool.resize(pool.size() + width);   // values
  }
  PageSummaries summaries{kv_heads, layout.head_dim};
  for (std::size_t page = 0; page < keys.size(); ++page)
    summaries.add(static_cast<Block>(page), {reinterpret_cast<std::byte*>(pool.data()), layout.bytes(), layout}, static_cast<std::int32_t>(page), 1);
  return summaries;
}

using Tables = std::vector<std::vector<HeldPage>>;

/// What stays of `held` by table once choose_evictions has spoken.
inline std::vector<std::vector<Block>> kept(Scheduler& scheduler, Tables const& held, Budget const& budget,
                                            std::span<PageSummaries const> summaries = {}, RetentionOptions const& options = {}) {
  std::vector<Eviction> evictions;
  choose_evictions(scheduler, held, budget, summaries, options, evictions);
  std::vector<std::vector<Block>> kept(held.size());
  for (std::size_t table = 0; table < held.size(); ++table)
    for (HeldPage const& page : held[table])
      if (std::none_of(evictions.begin(), evictions.end(),
                       [&](Eviction const& e) { return e.table == static_cast<std::int32_t>(table) && e.block == page.block; }))
        kept[table].push_back(page.block);
  return kept;
}

/// The same of one table of tokens 0 .. length-1, with none pinned.
inline std::vector<Block> kept(Scheduler& scheduler, std::int64_t length, std::int64_t tokens) {
  return kept(scheduler, {hold(blocks(static_cast<Block>(length)))}, {.length = length, .tokens = tokens}).front();
}

}   // namespace pikv::test
