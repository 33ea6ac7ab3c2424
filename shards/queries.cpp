#include "shards/queries.hpp"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>

#include "kernels/attend.hpp"
#include "kernels/merge.hpp"
#include "shards/stopwatch.hpp"

namespace pikv::shards {

namespace {

struct QueryHeader {
  StreamId stream;
  std::int32_t layer = 0, rows = 0, pages = 0, reserved = 0;
  std::int64_t first_position = 0;
};
struct AnswerHeader {
  std::int32_t rows = 0, stale = 0;
};

// 30 -> "30 s", 0.5 -> "0.5 s"
std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%g s", seconds);
  return text;
}

std::size_t heads_of(StoreOptions const& options) { return static_cast<std::size_t>(options.q_heads); }
std::size_t width_of(StoreOptions const& options) { return heads_of(options) * static_cast<std::size_t>(options.layout.head_dim); }

}  // namespace

std::size_t Queries::query_bytes(StoreOptions const& options) {
  auto const streams = static_cast<std::size_t>(options.most_streams);
  return streams * sizeof(QueryHeader) + streams * static_cast<std::size_t>(options.most_blocks) * sizeof(PageName) +
         static_cast<std::size_t>(options.most_rows) * (width_of(options) * sizeof(float)) + streams * 8;
}

std::size_t Queries::partial_bytes(StoreOptions const& options) {
  auto const streams = static_cast<std::size_t>(options.most_streams);
  return streams * (sizeof(AnswerHeader) + 32) + streams * static_cast<std::size_t>(options.most_blocks) * sizeof(std::int32_t) +
         static_cast<std::size_t>(options.most_rows) * (width_of(options) + 2 * heads_of(options)) * sizeof(float);
}

Queries::Queries(comm::World& world, Arena& arena, Owner const& owner, StoreOptions const& options, Counts& counts)
    : world_{world},
      arena_{arena},
      owner_{owner},
      options_{options},
      counts_{counts},
      queries_{world.make_exchange({"queries", 1, query_bytes(options)})},
      partials_{world.make_exchange({"partials", 2, partial_bytes(options)})},
      asked_(static_cast<std::size_t>(world.size())) {
  asked_blocks_.reserve(static_cast<std::size_t>(options.most_streams) * static_cast<std::size_t>(options.most_blocks));
  plan_.reserve(options.slots);
}

void Queries::ask(comm::Rank owner, Segment const& segment, std::int32_t first_row, std::int32_t layer, std::span<Block const> blocks,
                  float const* q) {
  comm::MessageWriter out{queries_->outgoing(owner)};
  out.value(QueryHeader{segment.stream->id(), layer, segment.rows, static_cast<std::int32_t>(blocks.size()), 0, segment.stream->length()});
  auto const names = out.reserve<PageName>(blocks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    DirectoryEntry const& entry = segment.stream->directory().at(layer, blocks[i]);
    names[i] = {entry.slot.index, static_cast<std::uint32_t>(entry.generation)};
  }
  std::size_t const width = width_of(options_);
  out.array(std::span{q + static_cast<std::size_t>(first_row) * width, static_cast<std::size_t>(segment.rows) * width});
  asked_[static_cast<std::size_t>(owner)].push_back({segment.stream, layer, first_row, segment.rows, asked_blocks_.size(), blocks.size()});
  asked_blocks_.insert(asked_blocks_.end(), blocks.begin(), blocks.end());
}

void Queries::answer(Step step, std::int32_t layer, kernels::Stream& stream) {
  finish_or_throw(world_, *queries_, options_.deadline_s, step, layer);
  Stopwatch const watch{attention_seconds_};
  plan_.clear();
  q_.clear();
  to_answer_.clear();
  stale_.clear();
  for (comm::Rank from = 0; from < world_.size(); ++from) read_queries(from);
  kernels::PartialView const partial = answers_.resize(plan_.rows(), options_.q_heads, options_.layout.head_dim);
  float const scale = 1.0f / std::sqrt(static_cast<float>(options_.layout.head_dim));
  if (plan_.rows() > 0)
    kernels::host::attend(arena_.view(0), plan_.view(), q_.data(), options_.q_heads, scale, partial, nullptr, stream);
  write_answers(partial);
  partials_->start();
}

void Queries::read_queries(comm::Rank from) {
  comm::MessageReader in{queries_->incoming(from)};
  while (!in.empty()) {
    auto const query = in.value<QueryHeader>();
    auto const pages = in.array<PageName>(static_cast<std::size_t>(query.pages));
    auto const q = in.array<float>(static_cast<std::size_t>(query.rows) * width_of(options_));
    to_answer_.push_back({from, query.rows, stale_.size(), 0});
    for (std::int32_t i = 0; i < query.pages; ++i) {
      PageName const page = pages[static_cast<std::size_t>(i)];
      if (!owner_.holds(page, query.stream, query.layer)) {
        stale_.push_back(i);
        ++to_answer_.back().stale;
        continue;
      }
      IndexedPage const& held = owner_.indexed({page.slot, 0});
      plan_.page(page.slot, held.first_position, held.tokens);
    }
    plan_.end_group(query.first_position, query.rows);
    q_.insert(q_.end(), q.begin(), q.end());
  }
}

void Queries::write_answers(kernels::PartialView partial) {
  std::size_t const heads = heads_of(options_), width = width_of(options_);
  std::size_t row = 0;
  for (Query const& query : to_answer_) {
    comm::MessageWriter out{partials_->outgoing(query.from)};
    auto const rows = static_cast<std::size_t>(query.rows);
    out.value(AnswerHeader{query.rows, static_cast<std::int32_t>(query.stale)});
    out.array(std::span<std::int32_t const>{stale_}.subspan(query.first_stale, query.stale));
    out.array(std::span<float const>{partial.max + row * heads, rows * heads});
    out.array(std::span<float const>{partial.denom + row * heads, rows * heads});
    out.array(std::span<float const>{partial.sum + row * width, rows * width});
    row += rows;
  }
}

void Queries::finish(Step step, std::int32_t layer, kernels::PartialView partial, std::vector<Damage>& damages, kernels::Stream& stream) {
  finish_or_throw(world_, *partials_, options_.deadline_s, step, layer);
  for (comm::Rank from = 0; from < world_.size(); ++from) {
    comm::MessageReader in{partials_->incoming(from)};
    for (Asked const& asked : asked_[static_cast<std::size_t>(from)]) merge_answer(from, asked, in, partial, damages, stream);
    asked_[static_cast<std::size_t>(from)].clear();
  }
  asked_blocks_.clear();
}

void Queries::merge_answer(comm::Rank from, Asked const& asked, comm::MessageReader& in, kernels::PartialView partial,
                           std::vector<Damage>& damages, kernels::Stream& stream) {
  std::size_t const heads = heads_of(options_);
  auto const rows = static_cast<std::size_t>(asked.rows);
  auto const answer = in.value<AnswerHeader>();
  auto const stale = in.array<std::int32_t>(static_cast<std::size_t>(answer.stale));
  auto const max = in.array<float>(rows * heads);
  auto const denom = in.array<float>(rows * heads);
  auto const sum = in.array<float>(rows * width_of(options_));
  // The kernels' view is of mutable floats; merge only reads its second argument.
  kernels::PartialView const part{const_cast<float*>(sum.data()), const_cast<float*>(max.data()), const_cast<float*>(denom.data())};
  std::int32_t const d = options_.layout.head_dim;
  if (answer.rows != asked.rows)
    throw RunError("rank " + std::to_string(from) + " (" + world_.host_name(from) + ") answered another query than it was asked; the query exchange is broken");
  for (std::int32_t const i : stale) {
    Block const block = asked_blocks_[asked.first_block + static_cast<std::size_t>(i)];
    DirectoryEntry const& entry = asked.stream->directory().at(asked.layer, block);
    damages.push_back({asked.stream, block});
    ++counts_.stale;
    ++counts_.lost;
    for (PageEvent const event : {PageEvent::stale, PageEvent::miss})
      arena_.events().record(event, asked.stream->id(), asked.layer, block, from, entry.slot, entry.generation);
  }
  if (!kernels::check_wire(part, asked.rows, options_.q_heads, d)) {
    damages.push_back({asked.stream, asked_blocks_[asked.first_block], true});
    return;
  }
  kernels::host::merge(partial.from_row(static_cast<std::size_t>(asked.first_row), heads, static_cast<std::size_t>(d)), part, asked.rows,
                       options_.q_heads, d, stream);
}

void finish_or_throw(comm::World& world, comm::Exchange& exchange, double deadline_s, Step step, std::int32_t layer) {
  comm::Status const status = exchange.finish(world.in(deadline_s));
  if (status == comm::Status::arrived) return;
  std::string who;
  for (comm::Rank const rank : exchange.blame()) {
    if (!who.empty()) who += ", ";
    who += std::to_string(rank) + " on " + world.host_name(rank);
  }
  if (who.empty()) who = "(unknown)";
  std::string const where = "step " + std::to_string(step) + (layer < 0 ? "" : ", layer " + std::to_string(layer)) + ", " + exchange.options().name;
  if (status == comm::Status::corrupt)
    throw RunError("a message from rank " + who + " arrived damaged (" + where + "); test the network of that host");
  if (status == comm::Status::peer_gone) throw RunError("rank " + who + " ended or fell silent (" + where + "); see its own message, or look at that host");
  throw RunError("rank " + who + " did not answer within " + seconds_text(deadline_s) + " (" + where +
                 "); look at that host, or raise --deadline");
}

}  // namespace pikv::shards
