#include "comm/ucx_landings.hpp"

#include <algorithm>

namespace pikv::comm {

void UcxLandings::put(Rank to, Offset at, std::size_t bytes) {
  auto& since = peer(to).since;
  if (!since.empty() && since.back().region == at.region && since.back().byte + since.back().bytes == at.byte) {
    since.back().bytes += bytes;
  } else {
    since.push_back({self_, channel_, 0, at.region, at.byte, bytes});
  }
}

void UcxLandings::flush(Rank to, UcxCompletion& whole) {
  if (free_.empty()) free_.push_back(&flushes_.emplace_back());
  Flush& it = *free_.back();
  free_.pop_back();
  it.ranges.clear();
  it.ranges.swap(peer(to).since);
  it.number = numbers_++;
  for (UcxHeader& range : it.ranges) range.number = it.number;
  it.whole = &whole;
  it.under_way = 1;
  it.to_copy = it.ranges.size();
  it.asked = false;
  it.status = UCS_OK;
  peer(to).flushes.push_back(&it);
  ++under_way_;
  auto const params = UcxWorker::completes(it);
  UcxWorker::settle(ucp_ep_flush_nbx(worker_.endpoint(to), &params), it);
}

void UcxLandings::Flush::done(ucs_status_t with) {
  if (with != UCS_OK) status = with;
  --under_way;
}

void UcxLandings::ask(Rank to, Flush& flush) {
  flush.asked = true;
  flush.under_way = flush.ranges.size();
  for (UcxHeader const& range : flush.ranges) worker_.send(to, UcxMessage::land, range, {}, flush);
}

void UcxLandings::copied(UcxHeader const& answer) {
  for (Flush* const flush : peer(answer.from).flushes)
    if (flush->number == answer.number && flush->to_copy > 0) --flush->to_copy;
}

void UcxLandings::go_on() {
  if (under_way_ == 0) return;
  for (Rank to = 0; to < static_cast<Rank>(peers_.size()); ++to) {
    auto& flushes = peer(to).flushes;
    for (Flush* const flush : flushes)
      if (flush->under_way == 0 && flush->status == UCS_OK && !flush->asked) ask(to, *flush);
    while (!flushes.empty() && flushes.front()->ended()) {
      Flush* const first = flushes.front();
      flushes.erase(flushes.begin());
      free_.push_back(first);
      --under_way_;
      first->whole->done(first->status);
    }
  }
}

bool UcxLandings::all_sent() const {
  return std::ranges::all_of(flushes_, [](Flush const& flush) { return flush.under_way == 0; });
}

}  // namespace pikv::comm
