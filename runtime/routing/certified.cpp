#include "runtime/routing/certified.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

namespace pikv::runtime {
namespace {

constexpr double rounding = 1e-3;

void require_numbers(std::span<float const> masses) {
  if (std::ranges::any_of(masses, [](float mass) { return std::isnan(mass); })) throw std::logic_error("a mass that is no number");
}

/// One head of the pages, as masses relative to what it has read, so that they fit a double.
class Head {
 public:
  Head(std::span<float const> upper, std::span<float const> lower, std::span<float const> read, std::size_t head)
      : upper_{upper}, lower_{lower}, heads_{read.size()}, head_{head} {
    unit_ = read[head];
    for (std::size_t page = 0; std::isinf(read[head]) && page < upper.size() / heads_; ++page)
      unit_ = std::max(unit_, double{upper[page * heads_ + head]});
    read_ = std::isinf(read[head]) ? 0 : 1;
  }
  double read() const { return read_; }
  double high(std::int32_t page) const { return mass(upper_, page); }
  double low(std::int32_t page) const { return lower_.empty() ? 0 : mass(lower_, page); }

 private:
  double mass(std::span<float const> logs, std::int32_t page) const {
    double const log_mass = logs[static_cast<std::size_t>(page) * heads_ + head_];
    return std::isinf(log_mass) ? 0 : std::exp(log_mass - unit_);
  }

  std::span<float const> upper_, lower_;
  std::size_t heads_, head_;
  double unit_, read_;
};

}  // namespace

void must_read(std::span<float const> upper, std::span<float const> lower, std::span<float const> read, double max_error,
               std::vector<std::int32_t>& chosen) {
  for (auto const masses : {upper, lower, read}) require_numbers(masses);
  if (!(max_error >= 0)) throw std::logic_error("an error below nothing");
  chosen.clear();
  double const error = max_error * (1 - rounding);
  if (error >= 1 || read.empty()) return;
  double const allowed = error / (1 - error);
  auto const pages = static_cast<std::int32_t>(upper.size() / read.size());

  thread_local std::vector<char> is_chosen;
  thread_local std::vector<std::int32_t> left;
  is_chosen.assign(static_cast<std::size_t>(pages), 0);
  for (std::size_t h = 0; h < read.size(); ++h) {
    Head const head{upper, lower, read, h};
    double known = head.read(), low = 0, high = 0;
    left.clear();
    for (std::int32_t page = 0; page < pages; ++page) {
      if (is_chosen[static_cast<std::size_t>(page)]) {
        known += head.low(page);
      } else {
        left.push_back(page);
        low += head.low(page);
        high += head.high(page);
      }
    }
    if (high <= allowed * known) continue;

    std::ranges::sort(left, {}, [&](std::int32_t page) { return std::pair{upper[static_cast<std::size_t>(page) * read.size() + h], -page}; });
    double skipped = 0;
    auto next = left.begin();
    for (; next != left.end(); ++next) {
      skipped += head.high(*next);
      low -= head.low(*next);
      if (!(skipped <= allowed * (known + low))) break;
    }
    std::for_each(next, left.end(), [](std::int32_t page) { is_chosen[static_cast<std::size_t>(page)] = 1; });
  }
  for (std::int32_t page = 0; page < pages; ++page)
    if (is_chosen[static_cast<std::size_t>(page)]) chosen.push_back(page);
}

void first_guess(std::span<float const> upper, std::span<float const> read, double max_error, std::vector<std::int32_t>& chosen) {
  must_read(upper, upper, read, max_error, chosen);
}

void certified_recall(std::span<float const> read, std::span<float const> unread, std::span<float> recall) {
  for (auto const masses : {read, unread}) require_numbers(masses);
  for (std::size_t h = 0; h < read.size(); ++h) {
    Head const head{unread, {}, read, h};
    double high = 0;
    for (std::size_t page = 0; page < unread.size() / read.size(); ++page) high += head.high(static_cast<std::int32_t>(page));
    recall[h] = static_cast<float>(high > 0 ? head.read() / (head.read() + high) * (1 - rounding) : 1);
  }
}

}  // namespace pikv::runtime
