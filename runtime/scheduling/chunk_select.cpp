#include "runtime/scheduling/chunk_select.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <tuple>
#include <vector>

namespace pikv::runtime {
namespace {

class ChunkSelect final : public SnapKv {
 public:
  ChunkSelect(SchedulerMaterial const& material, ChunkSelectOptions const& options)
      : SnapKv{material.shape, options.base}, keep_{material.keep}, chunk_pages_{options.chunk_pages} {
    if (options.chunk_pages < 1 || options.reuse < 1) throw std::logic_error("ChunkKV needs chunks of a page or more, and a layer that chooses");
    std::int32_t const first = shape().layer % options.reuse;
    if (first > 0 && !material.before.empty()) chooser_ = material.before[static_cast<std::size_t>(shape().layer - first)];
  }

  bool watches() const override { return chooser_ == nullptr; }
  void read(Reading const& reading) override {
    if (chooser_ == nullptr) SnapKv::read(reading);
  }

  std::int64_t layer_tokens(Budget const& budget, std::int64_t) const override {
    std::int64_t const chunk = std::int64_t{chunk_pages_} * shape().page_tokens, chunks = (budget.length + chunk - 1) / chunk;
    return chunk * std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(chunks) * keep_));
  }

  /// What the best chunks that fit whole come to, so that none is cut.
  std::vector<std::int64_t> budgets(std::span<std::vector<Block> const> pages, Budget const& budget) override {
    std::vector<std::int64_t> tokens(pages.size(), budget.tokens);
    if (chunk_pages_ > 1)
      for (std::size_t table = 0; table < pages.size(); ++table) tokens[table] = whole_chunks(static_cast<std::int32_t>(table), pages[table], budget);
    return tokens;
  }

  void utilities(std::int32_t table, std::span<Block const> pages, Budget const& budget, std::span<float> u) override {
    if (chooser_ != nullptr) return chooser_->utilities(table, pages, budget, u);
    if (chunk_pages_ == 1) return SnapKv::utilities(table, pages, budget, u);
    Block const end = shards::blocks_for(budget.length, shape().page_tokens);
    Block of_score = -1;
    float score = 0;
    for (std::size_t i = 0; i < pages.size(); ++i) {
      Block const first = pages[i] - pages[i] % chunk_pages_;
      if (first != of_score) score = score_of_chunk(table, first, std::min(first + chunk_pages_, std::max(end, pages[i] + 1)), budget);
      of_score = first;
      u[i] = score;
    }
  }

 private:
  std::int64_t whole_chunks(std::int32_t table, std::vector<Block> const& pages, Budget const& budget) {
    std::vector<float> u(pages.size());
    utilities(table, pages, budget, u);
    std::vector<std::tuple<float, Block, std::int64_t>> chunks;   // score, which, tokens
    for (std::size_t i = 0; i < pages.size(); ++i) {
      Block const chunk = pages[i] / chunk_pages_;
      if (chunks.empty() || std::get<1>(chunks.back()) != chunk) chunks.emplace_back(u[i], chunk, 0);
      std::get<2>(chunks.back()) += shape().page_tokens;
    }
    std::ranges::sort(chunks, std::greater{});
    std::int64_t sum = 0;
    for (auto const& [score, chunk, tokens] : chunks) {
      if (sum + tokens > budget.tokens) break;
      sum += tokens;
    }
    return sum;
  }

  float score_of_chunk(std::int32_t table, Block first, Block end, Budget const& budget) {
    pages_.resize(static_cast<std::size_t>(end - first));
    std::iota(pages_.begin(), pages_.end(), first);
    scores_.resize(pages_.size());
    SnapKv::utilities(table, pages_, budget, scores_);
    return static_cast<float>(std::accumulate(scores_.begin(), scores_.end(), 0.) / static_cast<double>(scores_.size()));
  }

  double keep_;
  std::int32_t chunk_pages_;
  Scheduler* chooser_ = nullptr;   // whose choice this layer follows; null: its own
  std::vector<Block> pages_;       // of a chunk
  std::vector<float> scores_;
};

}   // namespace

std::unique_ptr<Scheduler> make_chunk_select(SchedulerMaterial const& material, ChunkSelectOptions const& options) {
  return std::make_unique<ChunkSelect>(material, options);
}

}   // namespace pikv::runtime
