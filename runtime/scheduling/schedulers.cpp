#include "runtime/scheduling/schedulers.hpp"

#include "runtime/scheduling/h2o.hpp"
#include "runtime/scheduling/lru.hpp"
#include "runtime/scheduling/lru_plus.hpp"
#include "runtime/scheduling/snapkv.hpp"
#include "runtime/scheduling/streaming.hpp"
#include "runtime/scheduling/tova.hpp"

namespace pikv::runtime {
namespace {

using Material = SchedulerMaterial;
constexpr auto retention = SchedulerKind::retention;

}   // namespace

std::map<std::string_view, SchedulerEntry> const& schedulers() {
  static std::map<std::string_view, SchedulerEntry> const table{
      {"none", {.sentence = "keeps every token until its request ends"}},
      {"lru", {.sentence = "evicts the page that was read longest ago", .kind = retention, .masses = true, .replays = true, .make = make_lru}},
      {"lru_plus",
       {.sentence = "evicts by age, number of reads and attention received, weighted .3 .3 .4",
        .kind = retention,
        .masses = true,
        .replays = true,
        .make = [](Material const& m) { return make_lru_plus(m); }}},
      {"h2o",
       {.sentence = "keeps the newest pages and those that gathered most attention, per KV head",
        .kind = retention,
        .by_head = true,
        .masses = true,
        .make = [](Material const& m) { return make_h2o(m); }}},
      {"streaming", {.sentence = "keeps the first 4 tokens and the newest pages", .kind = retention, .make = make_streaming}},
      {"tova", {.sentence = "evicts what the last query attended to least, over all heads", .kind = retention, .masses = true, .make = make_tova}},
      {"snapkv",
       {.sentence = "keeps what the last 64 queries of the prompt attended to, per KV head; they vote anew every 64 tokens",
        .kind = retention,
        .by_head = true,
        .masses = true,
        .make = [](Material const& m) { return make_snapkv(m); }}},
  };
  return table;
}

}   // namespace pikv::runtime
