#include "runtime/routing/hash.hpp"

#include "runtime/routing/deal.hpp"
#include "shards/mix.hpp"

namespace pikv::runtime {
namespace {

class HashRouter : public Router {
 public:
  explicit HashRouter(KvExpert experts) : experts_{experts} {}
  void route(RouterQuery const& query, ExpertStats const&, std::int32_t k, std::vector<KvExpert>& chosen) override {
    deal(shards::mix(query.id), experts_, k, chosen);
  }

 private:
  KvExpert experts_;
};

}  // namespace

std::unique_ptr<Router> make_hash_router(RouterMaterial const& material) { return std::make_unique<HashRouter>(material.experts); }

}  // namespace pikv::runtime
