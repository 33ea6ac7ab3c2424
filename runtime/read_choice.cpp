#include "runtime/read_choice.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "runtime/routing/affinity.hpp"
#include "runtime/routing/certified.hpp"
#include "shards/mix.hpp"

namespace pikv::runtime {

namespace {

std::size_t size(std::int32_t n) { return static_cast<std::size_t>(n); }
constexpr float nothing = -std::numeric_limits<float>::infinity();

// Methods 2.4: evictions are forgotten over as many steps as a ring has pages; ours has no fixed length.
constexpr double flush_steps = 64;

constexpr float most_error = .05f;   // methods 5.1: a codec that loses more than this of its keys counts as bad as any

}  // namespace

ReadChoice::ReadChoice(ReadSettings settings, shards::StoreOptions const& store)
    : settings_{std::move(settings)}, store_{store}, history_{settings_.kv_experts, flush_steps} {
  auto const experts = size(settings_.kv_experts);
  if (settings_.mode == AttentionMode::routed && settings_.experts > 0 && settings_.experts < settings_.kv_experts) {
    entry_ = &routers().at(settings_.router);
    RouterMaterial material{settings_.kv_experts, {}, settings_.seed};
    for (std::size_t e = 0; e < experts; ++e) material.group.push_back(static_cast<std::int32_t>(e * size(settings_.groups) / experts));
    router_ = entry_->make(material);
  }
  reads_.resize(experts);
  error_.resize(experts);
  far_.resize(experts);
  seen_.resize(experts);
}

// A page that is not sealed yet has no summary and no KV expert: it is read.
void ReadChoice::split(shards::Stream const& stream, std::int32_t table, std::span<Block const> blocks, Block window) {
  loose_.clear();
  pinned_.clear();
  for (Block const block : blocks) {
    bool const open = stream.directory().at(table, block).life == shards::PageLife::open;
    (block > 0 && block < window && !open ? loose_ : pinned_).push_back(block);
  }
}

void ReadChoice::choose(Row const& row, float const* q, std::vector<Block>& blocks) {
  split(row.stream, row.table, blocks, row.window);
  if (!loose_.empty() && settings_.mode == AttentionMode::certified) guess(row, {q, width()}, blocks);
  if (!loose_.empty() && router_) route(row, {q, width()}, blocks);
  if (settings_.mode == AttentionMode::routed && settings_.read_pages > 0) {
    split(row.stream, row.table, blocks, row.window);
    if (!loose_.empty()) read_best(row, q, blocks);
  }
  pages_read_ += static_cast<double>(blocks.size());
  ++rows_;
}

void ReadChoice::route(Row const& row, std::span<float const> q, std::vector<Block>& blocks) {
  auto const& directory = row.stream.directory();
  expert_of_.resize(size(directory.blocks()));
  for (Block block = 0; block < directory.blocks(); ++block) expert_of_[size(block)] = directory.at(row.table, block).expert;
  RouterQuery query;
  query.id = shards::mix(row.stream.id().lo ^ shards::mix(static_cast<std::uint64_t>(row.position) ^ shards::mix(static_cast<std::uint64_t>(row.table))));
  if (entry_->affinities) {
    mass_.resize(loose_.size() * size(store_.q_heads));
    low_masses(row.summaries.view(), loose_, q, mass_);
    expert_mass_.resize(size(settings_.kv_experts) * size(store_.q_heads));
    expert_masses(mass_, loose_, expert_of_, store_.q_heads, expert_mass_);
    affinity_.resize(size(settings_.kv_experts));
    affinity(expert_mass_, store_.q_heads, affinity_);
    query.affinity = affinity_;
  }
  router_->route(query, history_.stats(), settings_.experts, chosen_);
  std::ranges::sort(chosen_);
  for (KvExpert const expert : chosen_) {
    std::uint32_t pages = 0, missed = 0;
    for (Block block = 0; block + 1 < directory.blocks(); ++block) {
      if (expert_of_[size(block)] != expert) continue;
      ++pages;
      if (!directory.at(row.table, block).exists()) ++missed;
    }
    history_.read(expert, pages, missed);
    ++reads_[size(expert)];
  }
  for (Block const block : loose_) {
    std::size_t const expert = size(expert_of_[size(block)]);
    seen_[expert] += 1;
    if (!directory.at(row.table, block).readable().valid()) far_[expert] += 1;
  }
  std::erase_if(blocks, [&](Block block) {
    return std::ranges::binary_search(loose_, block) && !std::ranges::binary_search(chosen_, expert_of_[size(block)]);
  });
}

void ReadChoice::read_best(Row const& row, float const* q, std::vector<Block>& blocks) {
  std::size_t const heads = size(store_.q_heads);
  mass_.resize(loose_.size() * heads);
  kernels::host::upper_bounds(row.summaries.view(), loose_, q, store_.q_heads, mass_.data());
  score_.resize(loose_.size());
  for (std::size_t i = 0; i < loose_.size(); ++i) score_[i] = *std::max_element(mass_.begin() + static_cast<std::ptrdiff_t>(i * heads), mass_.begin() + static_cast<std::ptrdiff_t>((i + 1) * heads));
  keep_best(size(settings_.read_pages), score_, blocks);
}

// Pinned pages will be read: what they hold at least is what the guess begins with.
void ReadChoice::guess(Row const& row, std::span<float const> q, std::vector<Block>& blocks) {
  std::size_t const heads = size(store_.q_heads);
  head_.assign(heads, nothing);
  std::erase_if(pinned_, [&](Block block) { return !row.summaries.knows(block); });
  low_.resize(pinned_.size() * heads);
  low_masses(row.summaries.view(), pinned_, q, low_);
  for (std::size_t i = 0; i < low_.size(); ++i) {
    float& sum = head_[i % heads];
    float const top = std::max(sum, low_[i]);
    sum = top + std::log(std::exp(sum - top) + std::exp(low_[i] - top));
  }
  mass_.resize(loose_.size() * heads);
  high_masses(row.summaries.view(), loose_, q, mass_);
  first_guess(mass_, head_, settings_.max_error, picked_);
  std::erase_if(blocks, [&](Block block) {
    auto const at = std::ranges::lower_bound(loose_, block);
    return at != loose_.end() && *at == block && !std::ranges::binary_search(picked_, static_cast<std::int32_t>(at - loose_.begin()));
  });
}

// At least what the pages that were read hold of the exact keys: a logit is wrong by at most |q| error / sqrt(d) (methods 0.3, B1).
void ReadChoice::exact_masses(PageSummaries const& summaries, shards::PageMasses const& found, float const* q) {
  std::size_t const heads = size(store_.q_heads), d = size(store_.layout.head_dim), share = heads / size(store_.layout.kv_heads);
  read_.assign(heads, nothing);
  for (std::size_t head = 0; head < heads; ++head) {
    float square = 0;
    for (std::size_t i = 0; i < d; ++i) square += q[head * d + i] * q[head * d + i];
    float const reach = std::sqrt(square / static_cast<float>(d));
    double sum = 0;
    for (std::size_t page = 0; page < found.blocks.size(); ++page) {
      float const error = summaries.knows(found.blocks[page]) ? summaries.key_error(found.blocks[page], static_cast<std::int32_t>(head / share)) : 0;
      sum += std::exp(static_cast<double>(found.page_lse[page * heads + head]) - reach * error - found.lse[head]);
    }
    if (sum > 0) read_[head] = found.lse[head] + static_cast<float>(std::log(sum));
  }
}

void ReadChoice::choose_more(PageSummaries const& summaries, shards::PageMasses const& found, float const* q, std::span<Block const> unread,
                             std::vector<Block>& more) {
  if (unread.empty()) return;
  std::size_t const heads = size(store_.q_heads);
  mass_.resize(unread.size() * heads);
  low_.resize(mass_.size());
  high_masses(summaries.view(), unread, {q, width()}, mass_);
  low_masses(summaries.view(), unread, {q, width()}, low_);
  exact_masses(summaries, found, q);
  must_read(mass_, low_, read_, settings_.max_error, picked_);
  for (std::int32_t const i : picked_) more.push_back(unread[size(i)]);
  pages_read_ += static_cast<double>(picked_.size());
}

void ReadChoice::observe(PageSummaries const& summaries, shards::PageMasses const& found, float const* q) {
  auto const& directory = found.of.stream->directory();
  loose_.clear();
  for (Block block = 0; block < directory.blocks(); ++block)
    if (directory.at(found.of.table, block).exists() && std::ranges::find(found.blocks, block) == found.blocks.end()) loose_.push_back(block);
  std::size_t const heads = size(store_.q_heads);
  mass_.resize(loose_.size() * heads);
  high_masses(summaries.view(), loose_, {q, width()}, mass_);
  head_.resize(heads);
  exact_masses(summaries, found, q);
  certified_recall(read_, mass_, head_);
  recall_ += std::accumulate(head_.begin(), head_.end(), 0.0) / static_cast<double>(heads);
  ++recalls_;
}

float ReadChoice::likelihood(KvExpert expert) const {
  if (!router_) return 1;
  auto const& load = history_.stats().load;
  return load[size(expert)] / *std::ranges::max_element(load);
}

void ReadChoice::encoded(KvExpert expert, float error) {
  constexpr float newest = .05f;
  float& of = error_[size(expert)];
  of = of == 0 ? error : (1 - newest) * of + newest * error;
}

// Costs are counts, not clocks: the same run decides the same.
void ReadChoice::end_step() {
  if (rows_ == 0) return;
  if (router_) {
    double const pages = pages_read_ / static_cast<double>(rows_);
    mean_pages_ = mean_pages_ == 0 ? pages : .95 * mean_pages_ + .05 * pages;
    std::vector<float> distance(far_.size());
    for (std::size_t e = 0; e < far_.size(); ++e) distance[e] = seen_[e] > 0 ? static_cast<float>(far_[e] / seen_[e]) : 0.0f;
    history_.distance(distance);
    history_.compression(error_, most_error);
    history_.end_step();
    router_->end_step(reads_, {pages / mean_pages_, recalls_ > 0 ? recall_ / static_cast<double>(recalls_) : 1.0});
    std::ranges::fill(reads_, 0u);
    std::ranges::fill(far_, 0.0);
    std::ranges::fill(seen_, 0.0);
  }
  pages_read_ = recall_ = 0;
  rows_ = recalls_ = 0;
}

void ReadChoice::select(Scheduler& scheduler, shards::TableRows const& row, std::span<float const> q, Block window, double keep, std::vector<Block>& blocks) {
  split(*row.stream, row.table, blocks, window);
  score_.resize(loose_.size());
  scheduler.select(row.table % store_.tables_per_layer, loose_, q, score_);
  keep_best(static_cast<std::size_t>(std::ceil(keep * static_cast<double>(blocks.size()))), score_, blocks);
}

// Of the loose pages the best, so that there are `most` with the pinned ones, and all of score infinity.
void ReadChoice::keep_best(std::size_t most, std::span<float const> score, std::vector<Block>& blocks) {
  std::size_t const taken = std::min(loose_.size(), most > pinned_.size() ? most - pinned_.size() : 0);
  order_.resize(loose_.size());
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  std::ranges::sort(order_, [&](std::size_t a, std::size_t b) { return score[a] != score[b] ? score[a] > score[b] : a < b; });
  order_.erase(std::find_if(order_.begin() + static_cast<std::ptrdiff_t>(taken), order_.end(), [&](std::size_t i) { return score[i] != std::numeric_limits<float>::infinity(); }), order_.end());
  std::ranges::sort(order_);
  std::erase_if(blocks, [&](Block block) {
    auto const at = std::ranges::lower_bound(loose_, block);
    return at != loose_.end() && *at == block && !std::ranges::binary_search(order_, static_cast<std::size_t>(at - loose_.begin()));
  });
}

}  // namespace pikv::runtime
