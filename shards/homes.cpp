#include "shards/homes.hpp"

#include "comm/error.hpp"
#include "shards/homes/content.hpp"
#include "shards/homes/mod.hpp"
#include "shards/homes/round_robin.hpp"
#include "shards/homes/router.hpp"
#include "shards/names.hpp"

namespace pikv::shards {

std::map<std::string_view, HomePolicyEntry> const& home_policies() {
  static std::map<std::string_view, HomePolicyEntry> const table{
      {"content",
       {.sentence = "keeps pages of a stream together whose keys point the same way, in equal shares",
        .make = make_content_home,
        .wants_mean_key = true}},
      {"mod", {"hashes stream and block, so that every KV expert gets an equal share of pages", make_mod_home}},
      {"round_robin", {"deals the blocks of a stream to the KV experts in turn", make_round_robin_home}},
      {"router",
       {.sentence = "asks the gate of the layer before, so that KV experts follow the model's", .make = make_router_home, .wants_gate = true}},
  };
  return table;
}

std::unique_ptr<HomePolicy> make_home_policy(std::string_view name) {
  auto const& table = home_policies();
  if (auto const found = table.find(name); found != table.end()) return found->second.make();
  throw InputError("no home named '" + std::string{name} + "'; choose one of: " + names_in(table));
}

}  // namespace pikv::shards
