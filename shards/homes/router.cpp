#include "shards/homes/router.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "shards/homes/mod.hpp"

namespace pikv::shards {
namespace {

class RouterHome : public HomePolicy {
 public:
  KvExpert expert_of(SealedBlock const& sealed) override {
    if (sealed.gate.empty()) return mod_->expert_of(sealed);
    if (std::ranges::any_of(sealed.gate, [](float share) { return std::isnan(share); })) throw std::logic_error("a gate that is no number");
    return static_cast<KvExpert>((std::ranges::max_element(sealed.gate) - sealed.gate.begin()) % sealed.experts);
  }

 private:
  std::unique_ptr<HomePolicy> mod_ = make_mod_home();
};

}  // namespace

std::unique_ptr<HomePolicy> make_router_home() { return std::make_unique<RouterHome>(); }

}  // namespace pikv::shards
