#include "runtime/scheduling/streaming.hpp"

#include <algorithm>

namespace pikv::runtime {
namespace {

constexpr std::int64_t sinks = 4;

class Streaming final : public Scheduler {
 public:
  explicit Streaming(std::int32_t page_tokens) : page_tokens_{page_tokens} {}

  void utilities(std::int32_t, std::span<Block const> pages, Budget const& budget, std::span<float> u) override {
    Block const sink_blocks = shards::blocks_for(sinks, page_tokens_);
    std::int64_t const window = budget.tokens - std::min(budget.length, shards::first_position(sink_blocks, page_tokens_));
    for (std::size_t i = 0; i < pages.size(); ++i) {
      bool const in_window = budget.length - shards::first_position(pages[i], page_tokens_) <= window;
      u[i] = pages[i] < sink_blocks || in_window ? 1 : 0;
    }
  }

 private:
  std::int32_t page_tokens_;
};

}   // namespace

std::unique_ptr<Scheduler> make_streaming(SchedulerMaterial const& material) { return std::make_unique<Streaming>(material.shape.page_tokens); }

}   // namespace pikv::runtime
