#include "runtime/scheduling/fastv.hpp"

#include <algorithm>
#include <stdexcept>

#include "runtime/scheduling/h2o.hpp"
#include "runtime/scheduling/tova.hpp"

namespace pikv::runtime {
namespace {

class FastV final : public Scheduler {
 public:
  FastV(SchedulerMaterial const& material, FastVOptions const& options) : full_{material.shape.layer < options.full_layers} {
    if (options.full_layers < 1) throw std::logic_error("FastV ranks at its last full layer, so it needs one");
    std::int32_t const ranking = options.full_layers - 1;
    if (material.shape.layer > ranking && !material.before.empty()) {
      ranking_ = material.before[static_cast<std::size_t>(ranking)];
    } else if (material.shape.layer >= ranking) {
      own_ = options.rows == RankingRows::last ? make_tova(material) : make_h2o(material, {.recent = 0, .normalise = true});
      ranking_ = own_.get();
    }
  }

  bool watches() const override { return own_ != nullptr; }
  void read(Reading const& reading) override {
    if (own_) own_->read(reading);
  }
  std::int64_t layer_tokens(Budget const& budget, std::int64_t) const override { return full_ ? budget.length : budget.tokens; }

  void utilities(std::int32_t table, std::span<Block const> pages, Budget const& budget, std::span<float> u) override {
    std::ranges::fill(u, 1.f);
    if (ranking_ != nullptr) ranking_->utilities(table, pages, budget, u);
  }
  void forget(std::int32_t table, Block page) override {
    if (own_) own_->forget(table, page);
  }
  void save(StateWriter& out) const override {
    if (own_) own_->save(out);
  }
  void restore(StateReader& in) override {
    if (own_) own_->restore(in);
  }

 private:
  bool full_;
  std::unique_ptr<Scheduler> own_;   // ranks; null in layers that do not
  Scheduler* ranking_ = nullptr;     // whose ranks this layer goes by: own_, or the ranking layer's
};

}   // namespace

std::unique_ptr<Scheduler> make_fastv(SchedulerMaterial const& material, FastVOptions const& options) { return std::make_unique<FastV>(material, options); }

double fastv_share(double keep, std::int32_t layers, std::int32_t full_layers) {
  std::int32_t const full = std::min(full_layers, layers);
  return (full + (layers - full) * keep) / layers;
}

}   // namespace pikv::runtime
