#include "runtime/fidelity/shadow.hpp"

#include <cmath>

#include "kernels/append.hpp"
#include "kernels/attend.hpp"
#include "kernels/merge.hpp"

namespace pikv::runtime {

using shards::Block;

namespace {
constexpr std::size_t cache_line = 64;
std::size_t size(std::int32_t n) { return static_cast<std::size_t>(n); }
}  // namespace

Shadow::Shadow(shards::Store const& store) : store_{store}, layout_{store.options().layout} {
  layout_.dtype = kernels::DType::f32;
  slot_bytes_ = (layout_.bytes() + cache_line - 1) / cache_line * cache_line;
}

kernels::PoolView Shadow::pool(Pages& pages) const { return {reinterpret_cast<std::byte*>(pages.data()), slot_bytes_, layout_}; }

void Shadow::attended(std::int32_t layer, Batch const& batch, float const* q, float const* k, float const* v, float const* out) {
  append(layer, batch, k, v);
  std::size_t const row_floats = size(store_.options().tables_per_layer) * size(store_.options().q_heads) * size(layout_.head_dim);
  std::size_t row = 0;
  for (shards::Segment const& segment : batch.segments) {
    if (batch.generated[row] != 0 && !store_.damaged(*segment.stream)) compare(layer, segment, q + row * row_floats, out + row * row_floats);
    row += size(segment.rows);
  }
}

void Shadow::append(std::int32_t layer, Batch const& batch, float const* k, float const* v) {
  std::int32_t const tables = store_.options().tables_per_layer, all = store_.options().layers, p = layout_.page_tokens;
  std::size_t const row_floats = size(tables) * size(layout_.kv_heads) * size(layout_.head_dim);
  std::size_t row = 0;
  for (shards::Segment const& segment : batch.segments) {
    std::int64_t const begin = segment.stream->length(), end = begin + segment.rows;
    Pages& pages = streams_[segment.stream->id()];
    std::size_t const needed = size(shards::blocks_for(end, p)) * size(all) * slot_bytes_ / sizeof(float);
    if (pages.size() < needed) pages.resize(needed);
    std::vector<std::int32_t> slots, at;
    for (std::int64_t position = begin; position < end; ++position)
      for (std::int32_t table = 0; table < tables; ++table) {
        slots.push_back(shards::block_of(position, p) * all + layer * tables + table);
        at.push_back(static_cast<std::int32_t>(position) & (p - 1));
      }
    kernels::host::append(pool(pages), slots.data(), at.data(), k + row * row_floats, v + row * row_floats, segment.rows * tables, host_);
    row += size(segment.rows);
  }
}

void Shadow::compare(std::int32_t layer, shards::Segment const& segment, float const* q, float const* out) {
  std::int32_t const tables = store_.options().tables_per_layer, heads = store_.options().q_heads, d = layout_.head_dim;
  std::int64_t const position = segment.stream->length();
  Block const blocks = shards::blocks_for(position + 1, layout_.page_tokens);
  plan_.clear();
  for (std::int32_t table = 0; table < tables; ++table) {
    for (Block block = 0; block < blocks; ++block) {
      std::int64_t const first = shards::first_position(block, layout_.page_tokens);
      plan_.page(block * store_.options().layers + layer * tables + table, first,
                 static_cast<std::int32_t>(std::min<std::int64_t>(layout_.page_tokens, position + 1 - first)));
    }
    plan_.end_group(position, 1);
  }
  kernels::PartialView const partial = partial_.resize(tables, heads, d);
  page_lse_.resize(size(tables) * size(blocks) * size(heads));
  float const scale = 1.0f / std::sqrt(static_cast<float>(d));
  kernels::host::attend(pool(streams_.at(segment.stream->id())), plan_.view(), q, heads, scale, partial, page_lse_.data(), host_);
  exact_.resize(size(tables) * size(heads) * size(d));
  kernels::host::finish(partial, exact_.data(), tables, heads, d, host_);
  double difference = 0, whole = 0;
  for (std::size_t i = 0; i < exact_.size(); ++i) {
    difference += (static_cast<double>(out[i]) - exact_[i]) * (static_cast<double>(out[i]) - exact_[i]);
    whole += static_cast<double>(exact_[i]) * exact_[i];
  }
  fidelity_.output_error.push_back(static_cast<float>(std::sqrt(difference / whole)));
  add_recall(layer, segment, partial);
}

void Shadow::add_recall(std::int32_t layer, shards::Segment const& segment, kernels::PartialView exact) {
  std::int32_t const tables = store_.options().tables_per_layer, heads = store_.options().q_heads;
  Block const blocks = shards::blocks_for(segment.stream->length() + 1, layout_.page_tokens);
  for (std::int32_t table = 0; table < tables; ++table) {
    std::int32_t const of = layer * tables + table;
    auto const& directory = segment.stream->directory();
    for (Block block = 0; block < blocks; ++block) {
      if (!directory.at(of, block).exists()) continue;
      ++fidelity_.pages_kept;
      fidelity_.bytes_kept += store_.page_bytes(of, directory.at(of, block));
    }
    fidelity_.pages_ever += size(blocks);
    read_.assign(size(blocks), false);
    for (Block const block : store_.blocks_read(*segment.stream, of)) {
      read_[size(block)] = true;
      ++fidelity_.pages_read;
      fidelity_.bytes_read += store_.page_bytes(of, directory.at(of, block));
    }
    for (std::int32_t head = 0; head < heads; ++head) {
      std::size_t const at = size(table) * size(heads) + size(head);
      double const lse = exact.max[at] + std::log(static_cast<double>(exact.denom[at]));
      double recall = 0;
      for (Block block = 0; block < blocks; ++block)
        if (read_[size(block)]) recall += std::exp(page_lse_[(size(table) * size(blocks) + size(block)) * size(heads) + size(head)] - lse);
      fidelity_.recall.push_back(static_cast<float>(std::min(recall, 1.0)));
    }
  }
}

}  // namespace pikv::runtime
