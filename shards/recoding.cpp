#include "shards/recoding.hpp"

#include <algorithm>
#include <string>

#include "shards/page_key.hpp"

namespace pikv::shards {

Recoding::Recoding(int ranks, Arena& arena, Owner& owner, Home& home, Replicas& replicas, StoreOptions const& options, Counts& counts,
                   CachePolicy* policy)
    : arena_{arena},
      owner_{owner},
      home_{home},
      replicas_{replicas},
      options_{options},
      counts_{counts},
      policy_{policy},
      recoder_{arena, options},
      peers_(static_cast<std::size_t>(ranks)) {}

std::size_t Recoding::control_bytes(StoreOptions const& options) {
  if (!recodes(options) || options.local) return 0;
  return 32 + most_ordered * (sizeof(RecodeOrder) + sizeof(RecodeAnswer) + 2 * static_cast<std::size_t>(options.layout.kv_heads) * sizeof(float));
}

void Recoding::write_control(comm::Rank to, comm::MessageWriter& out) {
  if (!travels()) return;
  Peer& peer = this->peer(to);
  out.value(std::uint64_t{peer.unsent});
  out.value(std::uint64_t{peer.answers.size()});
  auto const orders = out.reserve<RecodeOrder>(peer.unsent);
  std::transform(peer.ordered.end() - static_cast<std::ptrdiff_t>(peer.unsent), peer.ordered.end(), orders.begin(),
                 [](Ordered const& page) { return page.order; });
  out.array(std::span<RecodeAnswer const>{peer.answers});
  out.array(std::span<float const>{peer.errors});
  peer.unsent = 0;
  peer.answers.clear();
  peer.errors.clear();
}

void Recoding::read_control(comm::Rank from, comm::MessageReader& in) {
  if (!travels()) return;
  Peer& peer = this->peer(from);
  auto const orders = in.value<std::uint64_t>();
  auto const answers = in.value<std::uint64_t>();
  peer.orders_in = in.array<RecodeOrder>(orders);
  peer.answers_in = in.array<RecodeAnswer>(answers);
  peer.errors_in = in.array<float>(answers * errors_of_page());
}

// Streams that are still read from a checkpoint wait: their policies are not back yet.
void Recoding::plan(std::span<std::unique_ptr<Stream> const> streams, std::span<Segment const> segments) {
  if (!travels()) return;
  for (Segment const& segment : segments) order(*segment.stream, segment.stream->length() + segment.rows);
  for (auto const& stream : streams)
    if (stream->cools_) order(*stream, stream->length());
}

void Recoding::order(Stream& stream, std::int64_t length) {
  for (Block block = stream.cold_; block < stream.sealed_ && cold_at(length, block); ++block)
    for (std::int32_t table = 0; table < options_.layers; ++table) order(stream, table, block);
}

void Recoding::order(Stream& stream, std::int32_t table, Block block) {
  DirectoryEntry& entry = stream.directory_.at(table, block);
  bool const is_old = cold_at(stream.length_, block);   // then what is still here is recoded here, before this step reads it
  bool const there = entry.life == PageLife::remote || (entry.life == PageLife::pending && !is_old);
  if (!options_.codecs->cools(table) || !there || entry.moving || entry.recoding || entry.rotten || entry.condemned || is_cold(entry.slot)) return;
  Peer& owner = peer(entry.owner);
  if (owner.unsent == most_ordered) return;
  entry.recoding = true;
  home_.order_recoding(entry.owner);
  owner.ordered.push_back({&stream, table, block, {entry.slot.index, 0, entry.generation}});
  ++owner.unsent;
}

void Recoding::after_control(Step step, std::span<std::unique_ptr<Stream> const> streams, std::span<Segment const> segments) {
  if (!recodes(options_)) return;
  for (comm::Rank from = 0; from < static_cast<comm::Rank>(peers_.size()); ++from) {
    Peer& peer = this->peer(from);
    for (std::size_t i = 0; i < peer.answers_in.size(); ++i)
      take_answer(from, peer.answers_in[i], peer.errors_in.subspan(i * errors_of_page(), errors_of_page()));
    for (RecodeOrder const& order : peer.orders_in) carry_out(from, order, step);
    peer.answers_in = {};
    peer.orders_in = {};
  }
  for (Segment const& segment : segments) recode_here(*segment.stream);
  for (auto const& stream : streams)
    if (stream->cools_) recode_here(*stream);
}

// What it was made of may be gone by now, or no more what the directory names.
void Recoding::take_answer(comm::Rank from, RecodeAnswer const& answer, std::span<float const> errors) {
  auto& ordered = peer(from).ordered;
  auto const found = std::ranges::find_if(
      ordered, [&](Ordered const& page) { return page.order.slot == answer.slot && page.order.generation == answer.generation; });
  if (found == ordered.end())
    throw RunError("rank " + std::to_string(from) + " answered for a page that was not to be recoded; the control exchange is broken");
  Ordered const page = *found;
  ordered.erase(found);
  Grant const cold{answer.new_slot, 0, answer.new_generation};
  DirectoryEntry* const entry = page.stream != nullptr ? &page.stream->directory_.at(page.table, page.block) : nullptr;
  if (entry != nullptr) entry->recoding = false;
  if (answer.new_slot < 0) return;
  if (entry == nullptr || entry->life != PageLife::remote || entry->slot.index != answer.slot || entry->generation != answer.generation)
    return home_.retire_at(from, cold);
  entry->slot = {cold.slot};
  entry->generation = cold.generation;
  entry->moved = false;
  replicas_.drop(*page.stream, page.table, page.block);
  home_.retire_at(from, {answer.slot, 0, answer.generation});
  std::size_t const heads = errors.size() / 2;
  tell(*page.stream, page.table, page.block, {errors.first(heads), errors.last(heads)});
  arena_.events().record(PageEvent::recode, page.stream->id(), page.table, page.block, from, entry->slot, entry->generation,
                         options_.codecs->layout(page.table, Level::cold).bytes);
}

void Recoding::carry_out(comm::Rank from, RecodeOrder const& order, Step step) {
  Peer& home = peer(from);
  ++home.carried_out;
  Slot const cold = cold_of(from, order, step);
  home.answers.push_back({order.slot, cold.index, order.generation, cold.valid() ? arena_.generation(cold) : 0});
  home.errors.resize(home.answers.size() * errors_of_page());
  if (!cold.valid()) return;
  std::int32_t const table = table_of(options_, owner_.indexed(cold).key);
  auto const errors = arena_.errors(cold, options_.codecs->layout(table, Level::cold));
  std::ranges::copy(errors.v, std::ranges::copy(errors.k, home.errors.end() - static_cast<std::ptrdiff_t>(errors_of_page())).out);
}

Slot Recoding::cold_of(comm::Rank from, RecodeOrder const& order, Step step) {
  Slot const warm{order.slot};
  if (!arena_.is_slot(warm) || owner_.indexed(warm).home != from || arena_.generation(warm) != order.generation) return {};
  PageKey const key = owner_.indexed(warm).key;
  std::int32_t const table = table_of(options_, key);
  Slot const cold = take(table);
  if (!cold.valid()) return {};
  ++counts_.checked;
  if (arena_.verify(arena_.header(warm), warm, key, order.generation, options_.fingerprint) != Verdict::good) {
    ++counts_.corrupt;
    arena_.events().record(PageEvent::corrupt, key, from, warm, order.generation);
    arena_.give_back(cold);
    owner_.evict(warm, step);
    return {};
  }
  recoder_.recode(table, warm, cold, arena_.generation(cold));
  owner_.index_recoded(warm, cold, peer(from).carried_out);
  return cold;
}

Slot Recoding::take(std::int32_t table) {
  std::int32_t const size_class = options_.codecs->size_class(table, Level::cold);
  if (arena_.free_slots(size_class) == 0) (void)replicas_.drop_one(0, size_class, true);
  return arena_.take(size_class);
}

void Recoding::recode_here(Stream& stream) {
  for (Block block = stream.cold_; block < stream.sealed_ && cold_at(stream.length_, block); ++block) {
    bool done = true;
    for (std::int32_t table = 0; table < options_.layers; ++table) done = recode_here(stream, table, block) && done;
    if (done && block == stream.cold_) ++stream.cold_;
  }
}

// True when nothing is left to be done about it.
bool Recoding::recode_here(Stream& stream, std::int32_t table, Block block) {
  DirectoryEntry& entry = stream.directory_.at(table, block);
  if (!options_.codecs->cools(table) || !entry.exists() || entry.life == PageLife::lost || entry.rotten) return true;
  if (is_cold(entry.local.valid() ? entry.local : entry.slot)) return true;
  if (entry.moving || entry.recoding || (entry.life != PageLife::sealed && entry.life != PageLife::pending)) return false;
  PageHeader const& header = arena_.header(entry.local);
  ++counts_.checked;
  PageKey const key = key_of(options_, stream.id_, table, block);
  if (arena_.verify(header, entry.local, key, header.generation, options_.fingerprint) != Verdict::good) {
    ++counts_.corrupt;
    arena_.events().record(PageEvent::corrupt, key, -1, entry.local, arena_.generation(entry.local));
    entry.rotten = true;
    return true;
  }
  Slot const cold = take(table);
  if (!cold.valid()) return false;
  recoder_.recode(table, entry.local, cold, 0);
  home_.replace(stream, table, block, cold);
  replicas_.drop(stream, table, block);   // of the time before it came home
  kernels::CodedLayout const layout = options_.codecs->layout(table, Level::cold);
  tell(stream, table, block, arena_.errors(cold, layout));
  arena_.events().record(PageEvent::recode, stream.id_, table, block, -1, cold, arena_.generation(cold), layout.bytes);
  return true;
}

void Recoding::tell(Stream& stream, std::int32_t table, Block block, kernels::CodedErrors const& errors) {
  ++counts_.pages_recoded;
  if (policy_ != nullptr) policy_->encoded(stream, table, block, errors);
}

void Recoding::forget(Stream const& stream, Block from) {
  for (Peer& peer : peers_)
    for (Ordered& page : peer.ordered)
      if (page.stream == &stream && page.block >= from) page.stream = nullptr;
}

void Recoding::forget(Stream& stream, std::int32_t table, Block block) {
  stream.directory_.at(table, block).recoding = false;
  for (Peer& peer : peers_)
    for (Ordered& page : peer.ordered)
      if (page.stream == &stream && page.table == table && page.block == block) page.stream = nullptr;
}

}  // namespace pikv::shards
