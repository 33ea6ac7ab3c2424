// Pages that leave for another owner, within the budget of a step.
#include "shards/home.hpp"

namespace pikv::shards {

bool Home::afford(Channel const& to) {
  std::size_t const cost = move_cost(to);
  if (budget_ < cost) return false;
  budget_ -= cost;
  counts_.migration_bytes += cost;
  return true;
}

void Home::stay(Leaving const& page, comm::Rank to) {
  ++counts_.moves_refused;
  if (page.stream != nullptr) {
    DirectoryEntry& entry = page.stream->directory_.at(page.layer, page.block);
    entry.moving = false;
    ++entry.refusals;
    return;
  }
  left_.push_back({page.home, to, page.slot, page.generation, false, false, {}});
}

// False: it stays, or has gone by now.
bool Home::leave_now(Channel& to, Leaving const& page, Step step) {
  Grant const grant = to.credits.front();
  Pushed push{.stream = page.stream, .layer = page.layer, .block = page.block, .local = page.slot, .grant = grant, .number = to.sent + 1,
              .pushed_in = step, .leaves = true, .home = page.home, .generation = page.generation};
  if (page.stream != nullptr) {
    DirectoryEntry& entry = page.stream->directory_.at(page.layer, page.block);
    if (entry.rotten) return stay(page, to.owner), false;
    entry.life = PageLife::pending;
    entry.owner = to.owner;
    entry.slot = {grant.slot};
    entry.generation = grant.generation;
    push.local = entry.local;
  } else {
    IndexedPage const& held = own_shard_.indexed(page.slot);
    if (held.home != page.home || arena_.generation(page.slot) != page.generation) return stay(page, to.owner), false;
    ++counts_.checked;
    if (arena_.verify(arena_.header(page.slot), page.slot, held.key, page.generation, options_.fingerprint) != Verdict::good) {
      ++counts_.corrupt;
      own_shard_.evict(page.slot, step);
      return stay(page, to.owner), false;
    }
    own_shard_.hold(page.slot);
  }
  to.credits.pop();
  ++to.sent;
  to.pending.push(push);
  send(to.owner, *(to.pending.end() - 1));
  return true;
}

void Home::push_leaving(Channel& to, Step step) {
  while (!to.leaving.empty() && !to.credits.empty() && budget_ >= move_cost(to)) {
    Leaving const page = to.leaving.front();
    to.leaving.pop();
    if (leave_now(to, page, step)) (void)afford(to);
  }
}

void Home::has_left(Channel& from, Pushed const& page) {
  ++counts_.pages_moved;
  if (page.home < 0) return own_shard_.disown(from.size_class);
  left_.push_back({page.home, from.owner, page.local, page.generation, true, !page.empty, page.grant});
  if (page.empty) from.retires.push_back(page.grant);
}

}  // namespace pikv::shards
