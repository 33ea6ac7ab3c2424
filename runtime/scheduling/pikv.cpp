#include "runtime/scheduling/pikv.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "kernels/summary.hpp"
#include "runtime/scheduling/read_rates.hpp"

namespace pikv::runtime {
namespace {

constexpr float query_keep = .9f;

double length(std::span<float const> x) { return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0)); }

class Pikv final : public Scheduler {
 public:
  explicit Pikv(SchedulerMaterial const& material)
      : shape_{material.shape}, summaries_{material.summaries}, queries_(static_cast<std::size_t>(shape_.tables)), rates_{shape_, .5} {
    if (summaries_.size() != queries_.size()) throw std::logic_error("pikv needs the summaries of every table");
  }

  void query(std::int32_t table, std::int64_t, std::span<float const> q) override {
    if (q.size() != head_dim() * static_cast<std::size_t>(shape_.q_heads)) throw std::logic_error("a query of another shape than the layer's");
    if (!std::all_of(q.begin(), q.end(), [](float x) { return std::isfinite(x); })) throw std::logic_error("a query is not a number");
    std::vector<float>& mean = queries_.at(static_cast<std::size_t>(table));
    if (mean.empty()) mean.assign(q.begin(), q.end());
    for (std::size_t i = 0; i < q.size(); ++i) mean[i] = query_keep * mean[i] + (1 - query_keep) * q[i];
  }
  void read(Reading const& reading) override { rates_.read(reading); }
  void tick() override { rates_.tick(); }
  void forget(std::int32_t table, Block page) override { rates_.forget(table, page); }
  void save(StateWriter& out) const override {
    for (auto const& query : queries_) out.list(query);
    rates_.save(out);
  }
  void restore(StateReader& in) override {
    for (auto& query : queries_) in.list(query);
    rates_.restore(in);
  }

  void utilities(std::int32_t table, std::span<Block const> pages, Budget const&, std::span<float> u) override {
    for (std::size_t i = 0; i < pages.size(); ++i)
      u[i] = static_cast<float>(rates_.of(table, pages[i]) * (1 + cosine(static_cast<std::size_t>(table), pages[i])) / 2);
  }

 private:
  std::size_t head_dim() const { return static_cast<std::size_t>(shape_.head_dim); }

  double cosine(std::size_t table, Block page) {
    std::vector<float> const& q = queries_[table];
    if (q.empty() || !summaries_[table].knows(page)) return 0;
    auto const view = summaries_[table].view();
    auto const q_heads = static_cast<std::size_t>(shape_.q_heads), kv_heads = static_cast<std::size_t>(view.kv_heads);
    logits_.resize(q_heads);
    kernels::host::mean_logits(view, {&page, 1}, q.data(), shape_.q_heads, logits_.data());
    double highest = -1;
    for (std::size_t head = 0; head < q_heads; ++head) {
      std::size_t const row = static_cast<std::size_t>(page) * kv_heads + head / (q_heads / kv_heads);
      double const lengths = length({q.data() + head * head_dim(), head_dim()}) * length({view.mean + row * head_dim(), head_dim()});
      highest = std::max(highest, lengths > 0 ? std::clamp(logits_[head] / lengths, -1.0, 1.0) : 0);
    }
    return highest;
  }

  LayerShape shape_;
  std::span<PageSummaries const> summaries_;
  std::vector<std::vector<float>> queries_;   // by table: [q_heads][head_dim], empty before the first
  ReadRates rates_;
  std::vector<float> logits_;   // [q_heads]
};

}   // namespace

std::unique_ptr<Scheduler> make_pikv(SchedulerMaterial const& material) { return std::make_unique<Pikv>(material); }

}   // namespace pikv::runtime
