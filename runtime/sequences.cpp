#include "runtime/sequences.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <tuple>

#include "comm/error.hpp"

namespace pikv::runtime {

namespace {
constexpr std::int32_t most_rewinds = 8;
// Control exchanges from a release until its owners' slots can be taken again: pushes under way are acknowledged (3), dropped, retired.
constexpr shards::Step linger_steps = 6;
constexpr std::size_t most_read_bytes = 64 << 20;   // of a checkpoint's pages in a step, so that no peer waits for long
constexpr int most_without_room = 64;   // steps that a stream waits for room for its next block of a checkpoint
}  // namespace

Sequences::Sequences(shards::Store& store, ModelConfig const& config, Tokenizer const* tokenizer, SequenceOptions const& options, int rank,
                     std::vector<Request const*> requests, LogitsObserver observer, Resumed const* resumed,
                     CacheManager* cache)
    : store_{store},
      config_{config},
      tokenizer_{tokenizer},
      options_{options},
      rank_{rank},
      observer_{std::move(observer)},
      resumed_{resumed},
      cache_{cache},
      sampler_{config.vocab} {
  for (Request const* request : requests) {
    SavedRequest const* const known = saved(*request);
    if (!request->refused.empty()) add_refused(*request);
    else if (known != nullptr && known->phase == Phase::done) add_ended(known->result);
    else waiting_.push_back(request);
  }
  auto const turn = [&](Request const& request) {
    bool const begun = saved(request) != nullptr;   // it has waited already
    return std::tuple{!begun, begun ? 0 : request.arrival_s, request.index};
  };
  std::ranges::stable_sort(waiting_, {}, [&](Request const* request) { return turn(*request); });
}

void Sequences::add_refused(Request const& request) {
  Result result;
  result.index = request.index;
  result.home = rank_;
  result.prompt_tokens = static_cast<std::int32_t>(request.prompt.size());
  result.finish = Finish::error;
  result.error = request.refused;
  result.ended_before = resumed_ != nullptr;
  results_.push_back(std::move(result));
}

void Sequences::add_ended(Result const& result) {
  results_.push_back(result);
  results_.back().home = rank_;
  results_.back().ended_before = true;
}

SavedRequest const* Sequences::saved(Request const& request) const {
  if (resumed_ == nullptr) return nullptr;
  SavedRequest const& known = resumed_->requests[static_cast<std::size_t>(request.index)];
  return known.phase == Phase::waiting ? nullptr : &known;
}

std::span<Request const* const> Sequences::heads(double now) const {
  auto const waiting = std::span{waiting_}.subspan(next_waiting_);
  auto const places = std::min(waiting.size(), static_cast<std::size_t>(options_.batch) - running_.size());
  auto const arrived = std::ranges::find_if(waiting.first(places), [&](Request const* request) { return request->arrival_s > now; });
  return waiting.first(static_cast<std::size_t>(arrived - waiting.begin()));
}

double Sequences::next_arrival() const {
  return next_waiting_ == waiting_.size() ? std::numeric_limits<double>::infinity() : waiting_[next_waiting_]->arrival_s;
}

std::int64_t Sequences::pages_needed(Request const& request, std::int32_t page_tokens, std::int32_t layers) {
  auto const tokens = static_cast<std::int64_t>(request.prompt.size()) + request.max_new_tokens;
  return std::int64_t{shards::blocks_for(tokens, page_tokens)} * layers;
}

std::int64_t Sequences::pages_reserved(Request const& request) const {
  std::int32_t const layers = store_.options().layers;
  auto const blocks = static_cast<shards::Block>(pages_needed(request, store_.options().layout.page_tokens, layers) / layers);
  return std::int64_t{options_.fast.blocks(blocks)} * layers;
}

void Sequences::admit() {
  Request const& request = *waiting_[next_waiting_++];
  auto sequence = std::make_unique<Sequence>();
  sequence->request = &request;
  sequence->pages = pages_reserved(request);
  auto const blocks = static_cast<shards::Block>(pages_needed(request, store_.options().layout.page_tokens, 1));
  SavedRequest const* const known = saved(request);
  sequence->stream = &store_.open(known != nullptr ? known->stream : stream_of(request.index), blocks);
  if (cache_ != nullptr) cache_->begin(*sequence->stream, static_cast<std::int64_t>(request.prompt.size()));
  std::size_t const most = request.prompt.size() + static_cast<std::size_t>(request.max_new_tokens);
  sequence->tokens.reserve(most);
  sequence->tokens = request.prompt;
  sequence->result.index = request.index;
  sequence->result.home = rank_;
  sequence->result.prompt_tokens = static_cast<std::int32_t>(request.prompt.size());
  sequence->result.arrival = request.arrival_s;
  if (known != nullptr) {
    sequence->tokens.insert(sequence->tokens.end(), known->result.tokens.begin(), known->result.tokens.end());
    if (!request.stop.empty()) sequence->text = tokenizer_->decode(known->result.tokens);
    sequence->result = known->result;
    sequence->result.home = rank_;
    sequence->result.generated_before = static_cast<std::int32_t>(known->result.tokens.size());
    sequence->unread_end = resumed_->pages.blocks(known->stream);
    if (cache_ != nullptr) {   // policies go on from the whole stream, or with it from its beginning
      bool const whole = sequence->unread_end >= shards::blocks_for(known->length, store_.options().layout.page_tokens);
      if (!whole || known->policy.empty()) sequence->unread_end = 0;
      sequence->policy_unread = sequence->unread_end > 0;
    }
  }
  sequence->result.tokens.reserve(static_cast<std::size_t>(request.max_new_tokens));
  running_.push_back(std::move(sequence));
}

void Sequences::plan(Batch& batch) {
  batch.clear();
  planned_.clear();
  blocks_read_ = 0;
  std::size_t free_slots = store_.free_home_slots(), bytes_left = most_read_bytes;
  for (auto& sequence : running_) load(*sequence, free_slots, bytes_left);
  // After a rewind, what was generated one by one is computed so again: policies treat rows of a prompt and rows that follow it differently.
  auto const left = [&](Sequence const& s) {
    if (s.unread_from < s.unread_end) return std::int64_t{0};
    std::int64_t const whole = static_cast<std::int64_t>(s.tokens.size()) - s.stream->length();
    if (cache_ == nullptr) return whole;
    std::int64_t const of_prompt = static_cast<std::int64_t>(s.request->prompt.size()) - s.stream->length();
    return of_prompt > 0 ? std::min(whole, of_prompt) : std::min<std::int64_t>(whole, 1);
  };
  for (auto& sequence : running_)
    if (left(*sequence) == 1) add_rows(batch, *sequence, 1, free_slots);
  batch.decode_rows = batch.rows();
  std::int32_t budget = std::max(1, options_.prefill_chunk - batch.decode_rows);
  for (auto& sequence : running_) {
    if (left(*sequence) <= 1 || budget == 0) continue;
    std::int32_t const before = batch.rows();
    add_rows(batch, *sequence, static_cast<std::int32_t>(std::min<std::int64_t>(left(*sequence), budget)), free_slots);
    budget -= batch.rows() - before;
  }
}

void Sequences::load(Sequence& sequence, std::size_t& free_slots, std::size_t& bytes_left) {
  auto const layers = static_cast<std::size_t>(store_.options().layers);
  shards::Block const before = sequence.unread_from;
  std::size_t const block_bytes = layers * store_.options().layout.bytes();
  while (sequence.unread_from < sequence.unread_end && free_slots >= layers && bytes_left > 0) {
    CheckpointReader const& from = resumed_->pages.checkpoint();
    auto const row = [&](std::int32_t layer) { return resumed_->pages.row(sequence.stream->id(), layer, sequence.unread_from); };
    auto const header_of = [&](std::int32_t layer, shards::PageHeader& header) {
      auto const at = row(layer);
      if (at) from.read_header(*at, header);
      return at.has_value();
    };
    auto const payload_of = [&](std::int32_t layer, std::span<std::byte> payload) { from.read_payload(*row(layer), payload); };
    shards::ReadPage const block{header_of, payload_of};
    if (!store_.has_room(block)) break;
    bool const sound = store_.restore(*sequence.stream, block);
    bool const whole = sound && sequence.stream->length() % store_.options().layout.page_tokens == 0;
    ++sequence.unread_from;
    ++blocks_read_;
    if (!whole) sequence.unread_end = sequence.unread_from;   // the open page is the last; after a rotten one all is computed again
    free_slots -= layers;
    bytes_left -= std::min(bytes_left, block_bytes);
  }
  sequence.steps_without_room = sequence.unread_from == before ? sequence.steps_without_room + 1 : 0;
  if (sequence.steps_without_room == most_without_room) sequence.unread_end = sequence.unread_from;   // the rest is computed: pages of its own may have to cool first
  if (sequence.unread_from < sequence.unread_end) return;
  if (sequence.policy_unread) load_policy(sequence);
  if (sequence.unread_end > 0) store_.restored(*sequence.stream);
}

void Sequences::load_policy(Sequence& sequence) {
  sequence.policy_unread = false;
  SavedRequest const& known = *saved(*sequence.request);
  if (sequence.stream->length() == known.length) return cache_->restore(*sequence.stream, known.policy);
  store_.rewind(*sequence.stream, 0);   // a page has rotted since it was verified: what policies saw comes again
}

void Sequences::add_rows(Batch& batch, Sequence& sequence, std::int32_t rows, std::size_t& free_slots) {
  std::size_t pages = store_.new_pages(*sequence.stream, rows);
  if (pages > free_slots) {   // only what fits in the pages that are open; the rest waits until others have left for their owners
    std::int32_t const p = store_.options().layout.page_tokens;
    rows = static_cast<std::int32_t>(shards::first_position(sequence.stream->directory().blocks(), p) - sequence.stream->length());
    if (rows == 0) return;
    pages = 0;
  }
  free_slots -= pages;
  std::int64_t const first = sequence.stream->length();
  for (std::int32_t r = 0; r < rows; ++r) {
    bool const last = first + r + 1 == static_cast<std::int64_t>(sequence.tokens.size());
    if (last || options_.all_positions) batch.logit_rows.push_back(batch.rows());
    batch.tokens.push_back(sequence.tokens[static_cast<std::size_t>(first + r)]);
    batch.positions.push_back(static_cast<std::int32_t>(first + r));
    batch.generated.push_back(first + r >= static_cast<std::int64_t>(sequence.request->prompt.size()) ? 1 : 0);
  }
  batch.segments.push_back({sequence.stream, rows});
  planned_.push_back(&sequence);
}

void Sequences::apply(Batch const& batch, std::span<float const> logits, std::span<shards::Damage const> damages, shards::Step step,
                      double now) {
  auto const vocab = static_cast<std::size_t>(config_.vocab);
  std::size_t next_logits = 0;
  std::int32_t first_row = 0;
  for (std::size_t i = 0; i < planned_.size(); ++i) {
    Sequence& sequence = *planned_[i];
    std::int32_t const end_row = first_row + batch.segments[i].rows;
    auto const hit = std::find_if(damages.begin(), damages.end(), [&](shards::Damage const& d) { return d.stream == sequence.stream; });
    for (; next_logits < batch.logit_rows.size() && batch.logit_rows[next_logits] < end_row; ++next_logits) {
      if (hit != damages.end()) continue;
      auto const row = logits.subspan(next_logits * vocab, vocab);
      std::int32_t const position = batch.positions[static_cast<std::size_t>(batch.logit_rows[next_logits])];
      if (observer_) observer_(*sequence.request, position, row);
      if (position + 1 == static_cast<std::int64_t>(sequence.tokens.size())) take_token(sequence, row, now);
    }
    if (hit != damages.end()) damaged(sequence, *hit, now);
    first_row = end_row;
  }
  retire_ended(step);
}

void Sequences::take_token(Sequence& sequence, std::span<float const> logits, double now) {
  Request const& request = *sequence.request;
  Result& result = sequence.result;
  std::int32_t token = 0;
  try {
    token = !request.forced.empty() ? request.forced[result.tokens.size()] : sampler_.sample(logits, options_.sampling, static_cast<std::uint64_t>(request.index), result.tokens.size());
  } catch (RunError const& error) {
    result.error = error.what();
    return end(sequence, Finish::error, now);
  }
  if (result.tokens.empty()) {
    result.first_token = now;
    store_.drop_replicas(*sequence.stream);   // the prompt is in: one row at a time now, queries are cheaper to move than pages
  }
  sequence.tokens.push_back(token);
  result.tokens.push_back(token);
  ++generated_;
  if (options_.keep_logits) result.logits.insert(result.logits.end(), logits.begin(), logits.end());
  if (request.forced.empty() && std::find(config_.eos.begin(), config_.eos.end(), token) != config_.eos.end()) return end(sequence, Finish::eos, now);
  if (!request.stop.empty()) {
    sequence.text += tokenizer_->decode({token});
    if (find_stop(request, sequence.text) != std::string::npos) return end(sequence, Finish::stop, now);
  }
  if (static_cast<std::int32_t>(result.tokens.size()) == request.max_new_tokens) end(sequence, Finish::length, now);
}

void Sequences::damaged(Sequence& sequence, shards::Damage const& damage, double now) {
  if (damage.not_finite) {
    sequence.result.error = "attention gave a value that is not finite; the weights or the cached keys are damaged, run with --kv-dtype f32 to tell which";
    return end(sequence, Finish::error, now);
  }
  if (++sequence.result.rewinds <= most_rewinds) return store_.rewind(*sequence.stream, damage.block);
  sequence.result.error = "pages of this request were lost " + std::to_string(most_rewinds + 1) + " times; see the integrity counters of --report";
  end(sequence, Finish::error, now);
}

void Sequences::end(Sequence& sequence, Finish finish, double now) {
  sequence.result.finish = finish;
  sequence.result.end = now;
  sequence.ended = true;
}

void Sequences::retire_ended(shards::Step step) {
  for (auto& sequence : running_)
    if (sequence->ended) {
      if (cache_ != nullptr) cache_->end(*sequence->stream);
      if (probe_ != nullptr) probe_->ended(sequence->stream->id());
      store_.release(*sequence->stream);
      lingering_.push_back({sequence->pages, step + linger_steps});
      results_.push_back(std::move(sequence->result));
    }
  std::erase_if(running_, [](auto const& sequence) { return sequence->ended; });
}

void Sequences::add_policy(Sequence const& sequence, HomeState::Progress& progress) const {
  if (sequence.policy_unread) {
    progress.policy = saved(*sequence.request)->policy;
    progress.evicted = saved(*sequence.request)->evicted;
    return;
  }
  progress.policy = cache_->save(*sequence.stream);
  shards::Directory const& directory = sequence.stream->directory();
  for (shards::Block block = 0; block < directory.blocks(); ++block)
    for (std::int32_t table = 0; table < store_.options().layers; ++table)
      if (!directory.at(table, block).exists()) progress.evicted.push_back({table, block});
}

HomeState Sequences::state() const {
  HomeState state;
  for (Result const& result : results_) state.progress.push_back({result.index, Phase::done, result, {}, 0});
  auto const add_unread = [&](shards::StreamId const& id, shards::Block from, shards::Block end) {
    for (shards::Block block = from; block < end; ++block)
      for (std::int32_t layer = 0; layer < store_.options().layers; ++layer) {
        auto const row = resumed_->pages.row(id, layer, block);
        if (!row) continue;
        PageRow page = resumed_->pages.checkpoint().pages()[*row];
        page.rank = rank_;
        page.slot = -1;
        page.indexed = 0;
        state.unread.push_back({static_cast<std::int64_t>(*row), page});
      }
  };
  for (auto const& sequence : running_) {
    shards::Stream const& stream = *sequence->stream;
    bool const reading = sequence->unread_from < sequence->unread_end;
    std::int64_t const length = reading ? saved(*sequence->request)->length : stream.length();
    state.progress.push_back({sequence->result.index, Phase::running, sequence->result, stream.id(), length});
    if (cache_ != nullptr) add_policy(*sequence, state.progress.back());
    auto const pages = shards::pages_of(store_, stream, rank_);
    state.pages.insert(state.pages.end(), pages.begin(), pages.end());
    add_unread(stream.id(), sequence->unread_from, sequence->unread_end);
  }
  for (Request const* request : std::span{waiting_}.subspan(next_waiting_))
    if (SavedRequest const* const known = saved(*request)) {
      state.progress.push_back({request->index, Phase::running, known->result, known->stream, known->length, known->policy, known->evicted});
      add_unread(known->stream, 0, resumed_->pages.blocks(known->stream));
    }
  return state;
}

std::int64_t Sequences::reserved_pages(shards::Step step) {
  std::erase_if(lingering_, [&](Lingering const& pages) { return pages.until <= step; });
  std::int64_t pages = 0;
  for (auto const& sequence : running_) pages += sequence->pages;
  for (Lingering const& released : lingering_) pages += released.pages;
  return pages;
}

}  // namespace pikv::runtime
