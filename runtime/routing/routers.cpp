#include "runtime/routing/routers.hpp"

#include "runtime/routing/cache_aware.hpp"
#include "runtime/routing/entropy.hpp"
#include "runtime/routing/hash.hpp"
#include "runtime/routing/hierarchical.hpp"
#include "runtime/routing/rl.hpp"
#include "runtime/routing/round_robin.hpp"
#include "runtime/routing/topk.hpp"
#include "runtime/routing/topk_balanced.hpp"

namespace pikv::runtime {

std::map<std::string_view, RouterEntry> const& routers() {
  static std::map<std::string_view, RouterEntry> const table{
      {"hash",
       {.sentence = "neighbouring experts from a hash of the query: does not look, the floor for the others",
        .affinities = false,
        .make = make_hash_router}},
      {"round_robin",
       {.sentence = "deals the experts to queries in turn: does not look, loads are even", .affinities = false, .remembers = true, .make = make_round_robin_router}},
      {"topk", {.sentence = "the experts whose pages are estimated to hold most of the attention", .make = make_topk_router}},
      {"topk_balanced",
       {.sentence = "topk with a bias per expert that evens out how often each is read", .remembers = true, .make = make_topk_balanced_router}},
      {"cache_aware",
       {.sentence = "topk less penalties for pages that are missing, freshly evicted, compressed or far",
        .stats = true,
        .remembers = true,
        .make = make_cache_aware_router}},
      {"entropy",
       {.sentence = "topk less a penalty on experts read often, for a higher entropy of loads", .stats = true, .remembers = true, .make = make_entropy_router}},
      {"rl",
       {.sentence = "learns the weights of all those terms from what steps cost and keep",
        .stats = true,
        .learns = true,
        .remembers = true,
        .make = [](RouterMaterial const& material) { return make_rl_router(material, {}); }}},
      {"hierarchical", {.sentence = "the best nodes first, then the best experts on them: few nodes a query", .make = make_hierarchical_router}},
  };
  return table;
}

}  // namespace pikv::runtime
