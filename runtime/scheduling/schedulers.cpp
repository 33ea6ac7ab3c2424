#include "runtime/scheduling/schedulers.hpp"

#include "runtime/scheduling/adakv.hpp"
#include "runtime/scheduling/duo.hpp"
#include "runtime/scheduling/flexgen.hpp"
#include "runtime/scheduling/h2o.hpp"
#include "runtime/scheduling/lru.hpp"
#include "runtime/scheduling/lru_plus.hpp"
#include "runtime/scheduling/pikv.hpp"
#include "runtime/scheduling/quest.hpp"
#include "runtime/scheduling/snapkv.hpp"
#include "runtime/scheduling/streaming.hpp"
#include "runtime/scheduling/tova.hpp"

namespace pikv::runtime {
namespace {

using Material = SchedulerMaterial;
using enum SchedulerKind;

}   // namespace

std::map<std::string_view, SchedulerEntry> const& schedulers() {
  // clang-format off
  static std::map<std::string_view, SchedulerEntry> const table{
      {"none", {.sentence = "keeps every token until its request ends"}},
      {"lru", {.sentence = "evicts the page that was read longest ago", .kind = retention, .masses = true, .replays = true, .make = make_lru}},
      {"lru_plus", {.sentence = "evicts by age, number of reads and attention received, weighted .3, .3, .4", .kind = retention, .masses = true,
                    .replays = true, .make = [](Material const& m) { return make_lru_plus(m); }}},
      {"h2o", {.sentence = "keeps the newest pages and those that gathered most attention, per KV head", .kind = retention, .by_head = true,
               .masses = true, .make = [](Material const& m) { return make_h2o(m); }}},
      {"streaming", {.sentence = "keeps the first 4 tokens and the newest pages", .kind = retention, .make = make_streaming}},
      {"quest", {.sentence = "evicts nothing; a query reads the pages whose keys could match it best", .kind = selection, .summaries = true,
                 .make = make_quest}},
      {"flexgen", {.sentence = "evicts nothing; the pages read most often lie in the fast tier", .kind = placement, .masses = true, .replays = true,
                   .make = make_flexgen}},
      {"adakv", {.sentence = "snapkv with a budget per KV head, larger where attention is spread out", .kind = retention, .by_head = true,
                 .masses = true, .make = [](Material const& m) { return make_adakv(m); }}},
      {"duo", {.sentence = "KV heads that look far back keep everything, the others the first 64 and the last 256 tokens", .kind = retention,
               .by_head = true, .masses = true, .make = [](Material const& m) { return make_duo(m); }}},
      {"tova", {.sentence = "evicts what the last query attended to least, over all heads", .kind = retention, .masses = true, .make = make_tova}},
      {"snapkv", {.sentence = "keeps what the last 64 queries of the prompt attended to, per KV head; they vote anew every 64 tokens", .kind = retention,
                  .by_head = true, .masses = true, .make = [](Material const& m) { return make_snapkv(m); }}},
      {"pikv", {.sentence = "keeps pages that are read often and whose keys point where queries do", .kind = retention, .masses = true,
                .queries = true, .summaries = true, .make = make_pikv}},
  };
  // clang-format on
  return table;
}

}   // namespace pikv::runtime
