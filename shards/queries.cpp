#include "shards/queries.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>

#include "kernels/merge.hpp"
#include "shards/page_key.hpp"
#include "shards/stopwatch.hpp"

namespace pikv::shards {

namespace {

struct QueryHeader {
  StreamId stream;
  std::int32_t table = 0, rows = 0, pages = 0, wants_lse = 0;
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

std::size_t table_rows(StoreOptions const& options) {
  return static_cast<std::size_t>(options.most_rows) * static_cast<std::size_t>(options.tables_per_layer);
}
std::size_t heads_of(StoreOptions const& options) { return static_cast<std::size_t>(options.q_heads); }
std::size_t width_of(StoreOptions const& options) { return heads_of(options) * static_cast<std::size_t>(options.layout.head_dim); }

}  // namespace

std::size_t Queries::query_bytes(StoreOptions const& options) {
  auto const reads = static_cast<std::size_t>(options.most_streams) * static_cast<std::size_t>(options.tables_per_layer);
  return reads * sizeof(QueryHeader) + reads * static_cast<std::size_t>(options.most_blocks) * sizeof(PageName) +
         table_rows(options) * (width_of(options) * sizeof(float)) + reads * 8;
}

std::size_t Queries::partial_bytes(StoreOptions const& options) {
  auto const reads = static_cast<std::size_t>(options.most_streams) * static_cast<std::size_t>(options.tables_per_layer);
  std::size_t const lse = options.page_masses ? table_rows(options) * static_cast<std::size_t>(options.most_blocks) * heads_of(options) : 0;
  return reads * (sizeof(AnswerHeader) + 40) + reads * static_cast<std::size_t>(options.most_blocks) * sizeof(std::int32_t) +
         (table_rows(options) * (width_of(options) + 2 * heads_of(options)) + lse) * sizeof(float);
}

Queries::Queries(comm::World& world, Arena& arena, Owner& owner, StoreOptions const& options, Counts& counts)
    : world_{world},
      arena_{arena},
      owner_{owner},
      options_{options},
      counts_{counts},
      queries_{world.make_exchange({"queries", 1, query_bytes(options)})},
      partials_{world.make_exchange({"partials", 2, partial_bytes(options)})},
      asked_(static_cast<std::size_t>(world.size())),
      plan_{arena, options} {
  asked_pages_.reserve(static_cast<std::size_t>(options.most_streams * options.tables_per_layer) * static_cast<std::size_t>(options.most_blocks));
  plan_.reserve(options.slots);
}

void Queries::ask(comm::Rank owner, Stream& stream, TableRows const& of, std::int32_t first_row, std::span<AskedPage const> pages, float const* q) {
  comm::MessageWriter out{queries_->outgoing(owner)};
  bool const wants_lse = pages.front().lse >= 0;
  out.value(QueryHeader{stream.id(), of.table, of.rows, static_cast<std::int32_t>(pages.size()), wants_lse ? 1 : 0, of.first_position});
  auto const names = out.reserve<PageName>(pages.size());
  for (std::size_t i = 0; i < pages.size(); ++i) {
    DirectoryEntry const& entry = stream.directory().at(of.table, pages[i].block);
    names[i] = {entry.slot.index, static_cast<std::uint32_t>(entry.generation)};
  }
  std::size_t const width = width_of(options_);
  out.array(std::span{q + static_cast<std::size_t>(first_row) * width, static_cast<std::size_t>(of.rows) * width});
  asked_[static_cast<std::size_t>(owner)].push_back({&stream, of.table, first_row, of.rows, asked_pages_.size(), pages.size()});
  asked_pages_.insert(asked_pages_.end(), pages.begin(), pages.end());
}

void Queries::answer(Step step, std::int32_t layer) {
  finish_or_throw(world_, *queries_, options_.deadline_s, step, layer);
  Stopwatch const watch{attention_seconds_};
  plan_.clear();
  q_.clear();
  to_answer_.clear();
  stale_.clear();
  lse_floats_ = 0;
  bool wanted = false;
  for (comm::Rank from = 0; from < world_.size(); ++from) wanted = read_queries(from) || wanted;
  if (wanted) plan_lse_.resize(lse_floats_);
  kernels::PartialView const partial = answers_.resize(plan_.rows(), options_.q_heads, options_.layout.head_dim);
  if (plan_.rows() > 0) plan_.attend(q_on_device_(q_.data(), q_.size()), partial, wanted ? plan_lse_.data() : nullptr);
  write_answers();
  partials_->start();
}

// Whether one of them wants the log-sum-exp of its pages.
bool Queries::read_queries(comm::Rank from) {
  comm::MessageReader in{queries_->incoming(from)};
  bool wanted = false;
  while (!in.empty()) {
    auto const query = in.value<QueryHeader>();
    auto const pages = in.array<PageName>(static_cast<std::size_t>(query.pages));
    auto const q = in.array<float>(static_cast<std::size_t>(query.rows) * width_of(options_));
    to_answer_.push_back({from, query.rows, stale_.size(), 0, lse_floats_, 0});
    PageKey const key = key_of(options_, query.stream, query.table, 0);
    for (std::int32_t i = 0; i < query.pages; ++i) {
      PageName const page = pages[static_cast<std::size_t>(i)];
      if (!owner_.holds(page, key)) {
        stale_.push_back(i);
        ++to_answer_.back().stale;
        continue;
      }
      Slot const slot{page.slot};
      IndexedPage const& held = owner_.indexed(slot);
      plan_.page(slot, held.first_position, held.tokens);
      owner_.count_read(slot);
    }
    plan_.end_group(query.table, query.first_position, query.rows);
    q_.insert(q_.end(), q.begin(), q.end());
    std::size_t const here = static_cast<std::size_t>(query.pages) - to_answer_.back().stale;
    std::size_t const lse = here * static_cast<std::size_t>(query.rows) * heads_of(options_);
    lse_floats_ += lse;
    if (query.wants_lse == 0) continue;
    to_answer_.back().lse = lse;
    wanted = true;
  }
  return wanted;
}

void Queries::write_answers() {
  std::size_t const heads = heads_of(options_), width = width_of(options_);
  float const* const answers = answers_on_host_(answers_.data(), answers_.size());
  kernels::PartialView const partial = PartialBuffer::view(answers, plan_.rows(), options_.q_heads, options_.layout.head_dim);
  std::size_t row = 0;
  for (Query const& query : to_answer_) {
    comm::MessageWriter out{partials_->outgoing(query.from)};
    auto const rows = static_cast<std::size_t>(query.rows);
    out.value(AnswerHeader{query.rows, static_cast<std::int32_t>(query.stale)});
    out.array(std::span<std::int32_t const>{stale_}.subspan(query.first_stale, query.stale));
    out.array(std::span<float const>{partial.max + row * heads, rows * heads});
    out.array(std::span<float const>{partial.denom + row * heads, rows * heads});
    out.array(std::span<float const>{partial.sum + row * width, rows * width});
    out.array(std::span<float const>{plan_lse_}.subspan(query.lse > 0 ? query.first_lse : 0, query.lse));
    row += rows;
  }
}

void Queries::finish(Step step, std::int32_t layer, kernels::PartialView partial, std::span<float> page_lse, std::vector<Damage>& damages) {
  finish_or_throw(world_, *partials_, options_.deadline_s, step, layer);
  came_.clear();
  for (comm::Rank from = 0; from < world_.size(); ++from) {
    comm::MessageReader in{partials_->incoming(from)};
    for (Asked const& asked : asked_[static_cast<std::size_t>(from)]) read_answer(from, asked, in, page_lse, damages);
    asked_[static_cast<std::size_t>(from)].clear();
  }
  asked_pages_.clear();
  bring_in();
  std::int32_t const d = options_.layout.head_dim;
  for (Answer const& answer : came_) {
    kernels::PartialView const rows = partial.from_row(static_cast<std::size_t>(answer.first_row), heads_of(options_), static_cast<std::size_t>(d));
    arena_.device().merge(rows, answer.part, answer.rows, options_.q_heads, d);
  }
}

// Answers where the device reads them: in the messages on the host, else by one copy.
void Queries::bring_in() {
  if (arena_.device().is_host() || came_.empty()) return;
  std::int32_t const heads = options_.q_heads, d = options_.layout.head_dim;
  std::size_t floats = 0;
  for (Answer const& answer : came_) floats += PartialBuffer::floats(answer.rows, heads, d);
  float* to = came_on_device_.resize(floats);
  for (Answer const& answer : came_) {
    std::size_t const n = static_cast<std::size_t>(answer.rows) * heads_of(options_);
    to = std::copy_n(answer.part.sum, n * static_cast<std::size_t>(d), to);
    to = std::copy_n(answer.part.max, n, to);
    to = std::copy_n(answer.part.denom, n, to);
  }
  float* at = came_on_device_.send();
  for (Answer& answer : came_) {
    answer.part = PartialBuffer::view(at, answer.rows, heads, d);
    at += PartialBuffer::floats(answer.rows, heads, d);
  }
}

void Queries::read_answer(comm::Rank from, Asked const& asked, comm::MessageReader& in, std::span<float> page_lse, std::vector<Damage>& damages) {
  std::size_t const heads = heads_of(options_);
  auto const rows = static_cast<std::size_t>(asked.rows);
  auto const answer = in.value<AnswerHeader>();
  auto const stale = in.array<std::int32_t>(static_cast<std::size_t>(answer.stale));
  auto const max = in.array<float>(rows * heads);
  auto const denom = in.array<float>(rows * heads);
  auto const sum = in.array<float>(rows * width_of(options_));
  auto const pages = std::span{asked_pages_}.subspan(asked.first_page, asked.pages);
  std::size_t const page_floats = pages.front().lse >= 0 ? rows * heads : 0;
  auto const lse = in.array<float>((asked.pages - stale.size()) * page_floats);
  // The kernels' view is of mutable floats; merge only reads its second argument.
  kernels::PartialView const part{const_cast<float*>(sum.data()), const_cast<float*>(max.data()), const_cast<float*>(denom.data())};
  std::int32_t const d = options_.layout.head_dim;
  if (answer.rows != asked.rows)
    throw RunError("rank " + std::to_string(from) + " (" + world_.host_name(from) + ") answered another query than it was asked; the query exchange is broken");
  for (std::int32_t const i : stale) {
    Block const block = pages[static_cast<std::size_t>(i)].block;
    DirectoryEntry const& entry = asked.stream->directory().at(asked.table, block);
    damages.push_back({asked.stream, block});
    ++counts_.stale;
    ++counts_.lost;
    for (PageEvent const event : {PageEvent::stale, PageEvent::miss})
      arena_.events().record(event, asked.stream->id(), asked.table, block, from, entry.slot, entry.generation);
  }
  bool const numbers = std::ranges::none_of(lse, [](float x) { return std::isnan(x); });
  if (!numbers || !kernels::check_wire(part, asked.rows, options_.q_heads, d)) {
    damages.push_back({asked.stream, pages.front().block, true});
    return;
  }
  came_.push_back({asked.first_row, asked.rows, part});
  if (page_floats == 0) return;
  std::size_t next = 0;
  for (std::size_t i = 0, missing = 0; i < pages.size(); ++i) {
    if (missing < stale.size() && stale[missing] == static_cast<std::int32_t>(i)) {
      ++missing;
      continue;
    }
    std::ranges::copy(lse.subspan(next, page_floats), page_lse.subspan(static_cast<std::size_t>(pages[i].lse)).begin());
    next += page_floats;
  }
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
