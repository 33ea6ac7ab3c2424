#include "runtime/scheduling/flexgen.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "runtime/scheduling/read_rates.hpp"

namespace pikv::runtime {
namespace {

constexpr std::int32_t nowhere = -1;

class Placement {
 public:
  Placement(std::span<double const> f, std::span<std::int32_t const> now, std::span<Tier const> tiers, PlacementOptions const& options)
      : f_{f}, tiers_{tiers}, options_{options}, tier_(now.begin(), now.end()), hottest_first_(f.size()) {
    std::int64_t room = 0;
    for (Tier const& tier : tiers) room += tier.pages;
    if (now.size() != f.size() || room < std::ssize(f)) throw std::logic_error("pages must each have a tier or none, and fit into the tiers");
    for (std::size_t tier = 1; tier < tiers.size(); ++tier)
      if (read_s(tier) < read_s(tier - 1)) throw std::logic_error("tiers must be listed fastest first");
    std::iota(hottest_first_.begin(), hottest_first_.end(), std::size_t{0});
    std::stable_sort(hottest_first_.begin(), hottest_first_.end(), [&](std::size_t a, std::size_t b) { return f[a] > f[b]; });
  }

  std::vector<std::int32_t> make() {
    for (std::size_t tier = 0; tier < tiers_.size(); ++tier) {
      auto const pages = in(static_cast<std::int32_t>(tier));
      for (auto i = static_cast<std::size_t>(std::min(tiers_[tier].pages, std::ssize(pages))); i < pages.size(); ++i) tier_[pages[i]] = nowhere;
    }
    for (std::size_t const page : in(nowhere))
      for (std::size_t tier = 0; tier < tiers_.size() && tier_[page] == nowhere; ++tier)
        if (room(tier) > 0) tier_[page] = static_cast<std::int32_t>(tier);
    for (std::size_t fast = 0; fast < tiers_.size(); ++fast)
      for (std::size_t slow = fast + 1; slow < tiers_.size(); ++slow) exchange(fast, slow);
    return tier_;
  }

 private:
  double read_s(std::size_t tier) const { return tiers_[tier].latency_s + options_.page_bytes / tiers_[tier].bytes_per_second; }

  std::vector<std::size_t> in(std::int32_t tier) const {
    std::vector<std::size_t> pages;
    std::copy_if(hottest_first_.begin(), hottest_first_.end(), std::back_inserter(pages), [&](std::size_t page) { return tier_[page] == tier; });
    return pages;
  }
  std::int64_t room(std::size_t tier) const { return tiers_[tier].pages - std::count(tier_.begin(), tier_.end(), static_cast<std::int32_t>(tier)); }

  /// The hottest of `slow` against the coldest of `fast`, as long as it pays.
  void exchange(std::size_t fast, std::size_t slow) {
    double const saved_s = (read_s(slow) - read_s(fast)) * options_.horizon_steps;
    double const move_s = options_.page_bytes / std::min(tiers_[fast].bytes_per_second, tiers_[slow].bytes_per_second);
    auto const hot = in(static_cast<std::int32_t>(slow));
    auto const cold = in(static_cast<std::int32_t>(fast));
    auto left = room(fast);
    auto coldest = cold.rbegin();
    for (std::size_t const page : hot) {
      if (left > 0) {
        if (f_[page] * saved_s <= move_s) return;
        --left;
      } else {
        if (coldest == cold.rend() || (f_[page] - f_[*coldest]) * saved_s <= 2 * move_s) return;
        tier_[*coldest++] = static_cast<std::int32_t>(slow);
      }
      tier_[page] = static_cast<std::int32_t>(fast);
    }
  }

  std::span<double const> f_;
  std::span<Tier const> tiers_;
  PlacementOptions options_;
  std::vector<std::int32_t> tier_;
  std::vector<std::size_t> hottest_first_;
};

class FlexGen final : public Scheduler {
 public:
  explicit FlexGen(LayerShape const& shape) : rates_{shape, 1} {}

  void read(Reading const& reading) override { rates_.read(reading); }
  void tick() override { rates_.tick(); }
  void utilities(std::int32_t table, std::span<Block const> pages, Budget const&, std::span<float> u) override {
    for (std::size_t i = 0; i < pages.size(); ++i) u[i] = static_cast<float>(rates_.of(table, pages[i]));
  }
  void forget(std::int32_t table, Block page) override { rates_.forget(table, page); }
  void save(StateWriter& out) const override { rates_.save(out); }
  void restore(StateReader& in) override { rates_.restore(in); }

 private:
  ReadRates rates_;
};

}   // namespace

std::vector<std::int32_t> place(std::span<double const> reads_per_step, std::span<std::int32_t const> now, std::span<Tier const> tiers,
                                PlacementOptions const& options) {
  return Placement{reads_per_step, now, tiers, options}.make();
}

std::unique_ptr<Scheduler> make_flexgen(SchedulerMaterial const& material) { return std::make_unique<FlexGen>(material.shape); }

}   // namespace pikv::runtime
