#include "runtime/routing/round_robin.hpp"

#include "runtime/routing/deal.hpp"

namespace pikv::runtime {
namespace {

class RoundRobinRouter : public Router {
 public:
  explicit RoundRobinRouter(KvExpert experts) : experts_{experts} {}
  void route(RouterQuery const&, ExpertStats const&, std::int32_t k, std::vector<KvExpert>& chosen) override {
    deal(next_, experts_, k, chosen);
    next_ = (next_ + static_cast<std::uint64_t>(k)) % static_cast<std::uint64_t>(experts_);
  }

 private:
  KvExpert experts_;
  std::uint64_t next_ = 0;
};

}  // namespace

std::unique_ptr<Router> make_round_robin_router(RouterMaterial const& material) { return std::make_unique<RoundRobinRouter>(material.experts); }

}  // namespace pikv::runtime
