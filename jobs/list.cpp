#include <fmt/core.h>

#include <map>
#include <string>
#include <string_view>

#include "comm/error.hpp"
#include "comm/transports.hpp"
#include "jobs/command.hpp"
#include "runtime/given.hpp"
#include "runtime/routing/routers.hpp"
#include "runtime/scheduling/schedulers.hpp"
#include "shards/codec.hpp"
#include "shards/homes.hpp"
#include "shards/names.hpp"

namespace pikv::jobs {
namespace {

template <typename Table>
std::string lines(Table const& table) {
  std::string text;
  for (auto const& [name, entry] : table) text += fmt::format("{}\t{}\n", name, entry.sentence);
  return text;
}

std::map<std::string_view, std::string (*)()> const tables{
    {"routers", [] { return lines(runtime::routers()); }},
    {"schedulers", [] { return lines(runtime::schedulers()); }},
    {"codecs", [] { return lines(shards::codecs()); }},
    {"homes", [] { return lines(shards::home_policies()); }},
    {"transports", [] { return lines(comm::transports()); }},
};

}  // namespace

int list(Arguments args) {
  return run_on_rank_0([&] {
    if (args.size() != 1)
      throw InputError(fmt::format("`pikv list` takes one word, not {}; choose one of: {}", args.size(), shards::names_in(tables)));
    auto const table = tables.find(args[0]);
    if (table == tables.end()) throw InputError(fmt::format("'{}' cannot be listed; choose one of: {}", args[0], shards::names_in(tables)));
    fmt::print("{}", table->second());
  });
}

std::string list_help() {
  return fmt::format("Usage: pikv list WHAT, with WHAT one of: {}\n\nPrints a name and a sentence on each line, a tab between them.\n",
                     shards::names_in(tables));
}

}  // namespace pikv::jobs
