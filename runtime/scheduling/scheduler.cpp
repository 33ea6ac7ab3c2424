#include "runtime/scheduling/scheduler.hpp"

#include <stdexcept>

namespace pikv::runtime {

std::vector<std::int64_t> Scheduler::budgets(std::span<std::vector<Block> const> pages, Budget const& budget) {
  return std::vector<std::int64_t>(pages.size(), budget.tokens);
}

void Scheduler::select(std::int32_t, std::span<Block const>, std::span<float const>, std::span<float>) {
  throw std::logic_error("this scheduler does not select what is read");
}

}   // namespace pikv::runtime
