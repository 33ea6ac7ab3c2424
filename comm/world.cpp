#include "comm/world.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

#include "comm/setup.hpp"

namespace pikv::comm {

char const* to_string(Status status) {
  switch (status) {
    case Status::arrived: return "arrived";
    case Status::timeout: return "timeout";
    case Status::peer_gone: return "peer_gone";
    case Status::corrupt: return "corrupt";
  }
  return "unknown";
}

int World::hosts() const {
  int highest = 0;
  for (Rank r = 0; r < size(); ++r) highest = std::max(highest, host(r));
  return highest + 1;
}

void World::pause(double seconds) {
  (void)wait([] { return false; }, in(seconds));
}

std::optional<Trouble> World::first_trouble(std::string const& mine, Deadline deadline) {
  auto const all = all_gather(std::as_bytes(std::span{mine}), deadline);
  auto const first = std::find_if(all.begin(), all.end(), [](Bytes const& text) { return !text.empty(); });
  if (first == all.end()) return std::nullopt;
  return Trouble{static_cast<Rank>(first - all.begin()), {reinterpret_cast<char const*>(first->data()), first->size()}};
}

void expect_same_everywhere(World& world, std::span<std::byte const> mine, std::string const& what) {
  for (Bytes const& theirs : world.all_gather(mine, world.in(setup_seconds)))
    if (!std::ranges::equal(theirs, mine)) throw std::logic_error(what + " is not the same on all ranks");
}

std::string gone_ranks_sentence(World const& world) {
  std::string who;
  for (Rank rank = 0; rank < world.size(); ++rank)
    if (world.known_gone(rank)) who += fmt::format("{}rank {} on {}", who.empty() ? "" : ", ", rank, world.host_name(rank));
  return (who.empty() ? "another rank" : who) + " ended or fell silent; see its own message, or look at that host";
}

std::string missing_ranks_sentence(std::vector<Rank> const& missing) {
  return fmt::format("rank{} {} did not answer before the deadline, and a collective step of the set-up needs every rank; "
                     "look for {} own message or raise --deadline",
                     missing.size() == 1 ? "" : "s", fmt::join(missing, ", "), missing.size() == 1 ? "its" : "their");
}

}  // namespace pikv::comm
