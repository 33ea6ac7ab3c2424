#include "shards/home.hpp"

#include <algorithm>
#include <string>

namespace pikv::shards {

namespace {
constexpr int most_tries = 16;
}

// What is pushed: the header of a page stored for another stays as it is here, where it is fetched by it.
PageHeader Home::header_for(Pushed const& page) {
  PageHeader& kept = arena_.header(page.local);
  PageHeader header = kept;
  if (page.empty && page.home >= 0) seal_nothing(header, page.local);
  bool const sound = intact(header);
  header.generation = page.grant.generation;
  header.epoch = placement_.epoch();
  header.push = page.number;
  if (page.home < 0) header.home = static_cast<std::uint16_t>(world_.rank());   // a page from a checkpoint may have had another
  if (sound) stamp(header);   // else it stays what the owner refuses
  if (page.home < 0) kept = header;
  return header;
}

void Home::seal_nothing(PageHeader& header, Slot local) {
  header = {};
  header.key = key_of_nothing;
  header.fingerprint = options_.fingerprint;
  header.home = static_cast<std::uint16_t>(world_.rank());
  arena_.seal(header, local, arena_.payload(local).size());
}

// A page that has rotted here can never be pushed, but its number must be: nothing is sealed in its place, which the owner indexes and
// is told to drop.
void Home::empty_if_rotten(Pushed& page, Step step) {
  if (page.empty) return;
  PageHeader& header = arena_.header(page.local);
  ++counts_.checked;
  std::uint64_t const generation = page.home >= 0 ? page.generation : page.grant.generation;
  if (arena_.verify_arrived(header, page.local, generation, options_.fingerprint) == Verdict::good) return;
  if (page.home >= 0) {
    page.empty = true;
    if (own_shard_.indexed(page.local).home < 0) return;
    ++counts_.corrupt;
    own_shard_.evict(page.local, step);
    return;
  }
  if (page.stream != nullptr) {
    DirectoryEntry& entry = page.stream->directory_.at(page.layer, page.block);
    if (!entry.rotten) {
      ++counts_.corrupt;
      arena_.events().record(PageEvent::corrupt, page.stream->id(), page.layer, page.block, -1, page.local, arena_.generation(page.local));
    }
    entry.rotten = true;
  }
  seal_nothing(header, page.local);
}

void Home::send(comm::Rank to, Pushed const& page) {
  Slot const at{page.grant.slot};
  headers_.push_back({to, at, header_for(page)});
  std::span<std::byte> payload = arena_.payload(page.local);
  if (!arena_.device().is_host()) {
    payload = outgoing_.take(payload.size());
    arena_.copy_out(page.local, payload);
  }
  started_.push_back({transport_.put(to, arena_.payload_at(at), payload), to});
  if (std::ranges::find(touched_, to) == touched_.end()) touched_.push_back(to);
  ++counts_.pages_pushed;
  arena_.events().record(PageEvent::push, arena_.header(page.local).key, to, at, page.grant.generation, payload.size());
}

void Home::wait_for_all(char const* what) {
  comm::Deadline const deadline = world_.in(options_.deadline_s);
  for (Started const& started : started_) {
    comm::Status const status = transport_.wait(started.op, deadline);
    if (status == comm::Status::arrived) continue;
    ++counts_.timeout;
    if (status == comm::Status::peer_gone) throw RunError(gone_ranks_sentence(world_));
    throw RunError(std::string{what} + " to rank " + std::to_string(started.peer) + " (" + world_.host_name(started.peer) + ") ended as " +
                   to_string(status) + "; look at that host, or raise --deadline");
  }
  started_.clear();
  outgoing_.clear();
}

// The oldest push is not acknowledged though the owner has looked since: it arrived damaged, or not at all, so nothing behind it is
// indexed either. Only then may slots be written again: behind a sound oldest push a page may be indexed whose acknowledgement is
// still on its way.
void Home::repeat(Channel& to, Step step) {
  if (to.pending.empty() || to.pending.front().pushed_in > step - 2) return;
  if (to.pending.front().leaves && budget_ < move_cost(to)) return;   // in the next step
  if (++to.pending.front().tries > most_tries)
    throw RunError("a page pushed to rank " + std::to_string(to.owner) + " (" + world_.host_name(to.owner) + ") arrived damaged " +
                   std::to_string(most_tries) + " times in a row; test the network or memory of that host");
  empty_if_rotten(to.pending.front(), step);
  for (Pushed& page : to.pending) {
    if (page.pushed_in > step - 2 || (page.leaves && !afford(to))) continue;
    page.pushed_in = step;
    send(to.owner, page);
  }
}

void Home::push(Step step) {
  budget_ = options_.migration_bytes;
  for (Channel& to : channels_) {
    repeat(to, step);
    while (!to.waiting.empty() && !to.credits.empty()) {
      Waiting const page = to.waiting.front();
      DirectoryEntry& entry = page.stream->directory_.at(page.layer, page.block);
      Grant const grant = to.credits.front();
      to.waiting.pop();
      if (entry.life == PageLife::evicted) continue;
      to.credits.pop();
      entry.life = PageLife::pending;
      entry.slot = {grant.slot};
      entry.generation = grant.generation;
      to.pending.push({.stream = page.stream, .layer = page.layer, .block = page.block, .local = entry.local, .grant = grant, .number = ++to.sent, .pushed_in = step});
      send(to.owner, *(to.pending.end() - 1));
    }
  }
  for (int i = 0; i < world_.size(); ++i)   // each is first in turn
    for (Channel& to : channels_to(static_cast<comm::Rank>((step + i) % world_.size()))) push_leaving(to, step);
  if (headers_.empty()) return;
  // A header must not overtake its payload: one flush per peer between them, one after, so that "sent" means "there".
  for (comm::Rank owner : touched_) started_.push_back({transport_.flush(owner), owner});
  wait_for_all("a push");
  for (Header const& header : headers_)
    started_.push_back({transport_.put(header.owner, arena_.header_at(header.at), std::as_bytes(std::span{&header.header, 1})), header.owner});
  for (comm::Rank owner : touched_) started_.push_back({transport_.flush(owner), owner});
  wait_for_all("a push");
  headers_.clear();
  touched_.clear();
}

}  // namespace pikv::shards
