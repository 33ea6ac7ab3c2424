#include "runtime/routing/topk.hpp"

#include "runtime/routing/scores.hpp"

namespace pikv::runtime {
namespace {

class TopkRouter : public Router {
 public:
  void route(RouterQuery const& query, ExpertStats const&, std::int32_t k, std::vector<KvExpert>& chosen) override {
    take_top(query.affinity, k, chosen);
  }
};

}  // namespace

std::unique_ptr<Router> make_topk_router(RouterMaterial const&) { return std::make_unique<TopkRouter>(); }

}  // namespace pikv::runtime
