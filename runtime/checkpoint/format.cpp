#include "runtime/checkpoint/format.hpp"

#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "comm/error.hpp"
#include "runtime/policy_state.hpp"

namespace pikv::runtime {

namespace {

template <std::size_t N>
FixedText<N> fixed(std::string_view text) {
  FixedText<N> field{};
  text.copy(field.data(), N);
  return field;
}

template <std::size_t N>
std::string_view text_of(FixedText<N> const& field) {
  std::string_view const all{field.data(), N};
  return all.substr(0, all.find('\0'));
}

template <typename Enum>
Enum named(std::string_view name, std::initializer_list<Enum> values) {
  for (Enum const value : values)
    if (name == to_string(value)) return value;
  throw RunError(fmt::format("'{}' in /requests is nothing that a job writes", name));
}

/// Takes a list apart, part after part: rows point to what follows what the row before pointed to.
template <typename List>
class Parts {
 public:
  Parts(List const& list, char const* name, char const* rows = "/requests") : list_{list}, name_{name}, rows_{rows} {}
  auto take(std::int64_t at, std::int64_t count) {
    auto const size = static_cast<std::int64_t>(list_.size());
    if (at != taken_ || count < 0 || count > size - at) throw RunError(fmt::format("{} points to other than its part of {}", rows_, name_));
    taken_ += count;
    return List(list_.begin() + at, list_.begin() + at + count);
  }
  void expect_end() const {
    if (taken_ != static_cast<std::int64_t>(list_.size())) throw RunError(fmt::format("{} holds more than {} points to", name_, rows_));
  }

 private:
  List const& list_;
  char const* name_;
  char const* rows_;
  std::int64_t taken_ = 0;
};

}  // namespace

char const* to_string(Phase phase) {
  switch (phase) {
    case Phase::waiting: return "waiting";
    case Phase::running: return "running";
    case Phase::done: return "done";
  }
  return "unknown";
}

hdf5::RowType saved_request_rows() {
  return hdf5::RowType{}
      .add("index", &RequestRow::index)
      .add("phase", &RequestRow::phase)
      .add("finish", &RequestRow::finish)
      .add("home", &RequestRow::home)
      .add("prompt_tokens", &RequestRow::prompt_tokens)
      .add("generated", &RequestRow::generated)
      .add("max_new_tokens", &RequestRow::max_new_tokens)
      .add("rewinds", &RequestRow::rewinds)
      .add("first_token_at", &RequestRow::first_token_at)
      .add("id_at", &RequestRow::id_at)
      .add("id_bytes", &RequestRow::id_bytes)
      .add("stop_at", &RequestRow::stop_at)
      .add("stop_bytes", &RequestRow::stop_bytes)
      .add("refused_at", &RequestRow::refused_at)
      .add("refused_bytes", &RequestRow::refused_bytes)
      .add("error_at", &RequestRow::error_at)
      .add("error_bytes", &RequestRow::error_bytes)
      .add("arrival_s", &RequestRow::arrival)
      .add("first_token_s", &RequestRow::first_token)
      .add("end_s", &RequestRow::end)
      .add("stream_hi", &RequestRow::stream_hi)
      .add("stream_lo", &RequestRow::stream_lo)
      .add("length", &RequestRow::length);
}

hdf5::RowType policy_rows() {
  return hdf5::RowType{}
      .add("index", &PolicyRow::index)
      .add("version", &PolicyRow::version)
      .add("state_at", &PolicyRow::state_at)
      .add("state_bytes", &PolicyRow::state_bytes)
      .add("evicted_at", &PolicyRow::evicted_at)
      .add("evicted_pages", &PolicyRow::evicted_pages);
}

hdf5::RowType evicted_rows() { return hdf5::RowType{}.add("layer", &EvictedPage::layer).add("block", &EvictedPage::block); }

hdf5::RowType page_rows() {
  return hdf5::RowType{}
      .add("stream_hi", &PageRow::stream_hi)
      .add("stream_lo", &PageRow::stream_lo)
      .add("layer", &PageRow::layer)
      .add("block", &PageRow::block)
      .add("tokens", &PageRow::tokens)
      .add("rank", &PageRow::rank)
      .add("slot", &PageRow::slot)
      .add("indexed", &PageRow::indexed)
      .add("generation", &PageRow::generation)
      .add("at", &PageRow::at)
      .add("bytes", &PageRow::bytes);
}

PackedRequests pack(std::vector<SavedRequest> const& requests) {
  PackedRequests packed;
  auto const add_text = [&](std::string const& text, std::int64_t& at, std::int64_t& bytes) {
    at = static_cast<std::int64_t>(packed.text.size());
    bytes = static_cast<std::int64_t>(text.size());
    packed.text += text;
  };
  for (SavedRequest const& saved : requests) {
    RequestRow row;
    row.index = saved.request.index;
    row.phase = fixed<8>(to_string(saved.phase));
    row.finish = fixed<8>(saved.phase == Phase::done ? to_string(saved.result.finish) : "");
    row.home = saved.result.home;
    row.prompt_tokens = static_cast<std::int32_t>(saved.request.prompt.size());
    row.generated = static_cast<std::int32_t>(saved.result.tokens.size());
    row.max_new_tokens = saved.request.max_new_tokens;
    row.rewinds = saved.result.rewinds;
    row.first_token_at = static_cast<std::int64_t>(packed.tokens.size());
    packed.tokens.insert(packed.tokens.end(), saved.request.prompt.begin(), saved.request.prompt.end());
    packed.tokens.insert(packed.tokens.end(), saved.result.tokens.begin(), saved.result.tokens.end());
    add_text(saved.request.id, row.id_at, row.id_bytes);
    add_text(nlohmann::json(saved.request.stop).dump(), row.stop_at, row.stop_bytes);
    add_text(saved.request.refused, row.refused_at, row.refused_bytes);
    add_text(saved.result.error, row.error_at, row.error_bytes);
    row.arrival = saved.request.arrival_s;
    row.first_token = saved.result.first_token;
    row.end = saved.result.end;
    row.stream_hi = saved.stream.hi;
    row.stream_lo = saved.stream.lo;
    row.length = saved.length;
    packed.rows.push_back(row);
    if (saved.policy.empty()) continue;
    packed.policies.push_back({row.index, policy_state_version, static_cast<std::int64_t>(packed.policy_state.size()), static_cast<std::int64_t>(saved.policy.size()),
                               static_cast<std::int64_t>(packed.evicted.size()), static_cast<std::int64_t>(saved.evicted.size())});
    packed.policy_state += saved.policy;
    packed.evicted.insert(packed.evicted.end(), saved.evicted.begin(), saved.evicted.end());
  }
  return packed;
}

namespace {

void unpack_policies(PackedRequests const& packed, std::vector<SavedRequest>& requests) {
  Parts state{packed.policy_state, "/policy_state", "/policies"};
  Parts evicted{packed.evicted, "/evicted", "/policies"};
  for (PolicyRow const& row : packed.policies) {
    if (row.index < 0 || row.index >= std::ssize(requests)) throw RunError("/policies has a row of no request");
    if (row.version != policy_state_version)
      throw RunError(fmt::format("the state of its policies has form {}, and this pikv reads form {}", row.version, policy_state_version));
    SavedRequest& saved = requests[static_cast<std::size_t>(row.index)];
    if (saved.phase != Phase::running || !saved.policy.empty() || row.state_bytes == 0) throw RunError("/policies has a row that no running request has");
    saved.policy = state.take(row.state_at, row.state_bytes);
    saved.evicted = evicted.take(row.evicted_at, row.evicted_pages);
  }
  state.expect_end();
  evicted.expect_end();
}

}   // namespace

std::vector<SavedRequest> unpack(PackedRequests const& packed) {
  std::vector<SavedRequest> requests;
  Parts tokens{packed.tokens, "/tokens"};
  Parts text{packed.text, "/text"};
  for (RequestRow const& row : packed.rows) {
    if (row.index != static_cast<std::int64_t>(requests.size())) throw RunError("/requests does not hold every request in order");
    SavedRequest& saved = requests.emplace_back();
    saved.phase = named(text_of(row.phase), {Phase::waiting, Phase::running, Phase::done});
    saved.request.index = row.index;
    saved.request.prompt = tokens.take(row.first_token_at, row.prompt_tokens);
    saved.request.id = text.take(row.id_at, row.id_bytes);
    auto const stop = nlohmann::json::parse(text.take(row.stop_at, row.stop_bytes), nullptr, false);
    if (!stop.is_array()) throw RunError("the stop strings of /requests are no list");
    for (auto const& one : stop) saved.request.stop.push_back(one.is_string() ? one.get<std::string>() : "");
    saved.request.max_new_tokens = row.max_new_tokens;
    saved.request.arrival_s = row.arrival;
    saved.request.refused = text.take(row.refused_at, row.refused_bytes);
    saved.result.index = row.index;
    saved.result.home = row.home;
    saved.result.prompt_tokens = row.prompt_tokens;
    saved.result.tokens = tokens.take(row.first_token_at + row.prompt_tokens, row.generated);
    if (saved.phase == Phase::done) saved.result.finish = named(text_of(row.finish), {Finish::eos, Finish::length, Finish::stop, Finish::error});
    saved.result.error = text.take(row.error_at, row.error_bytes);
    saved.result.arrival = row.arrival;
    saved.result.first_token = row.first_token;
    saved.result.end = row.end;
    saved.result.rewinds = row.rewinds;
    saved.stream = {row.stream_hi, row.stream_lo};
    saved.length = row.length;
  }
  tokens.expect_end();
  text.expect_end();
  unpack_policies(packed, requests);
  return requests;
}

Attributes root_attributes(CheckpointFacts const& facts) {
  return {{"kind", std::string{"checkpoint"}},
          {"format", checkpoint_format},
          {"version", facts.version},
          {"commit", facts.commit},
          {"saved", facts.saved},
          {"reason", facts.reason},
          {"step", facts.step},
          {"ranks", facts.ranks},
          {"hosts", facts.hosts},
          {"clock_s", facts.clock_s},
          {"placement", facts.placement},
          {"fingerprint", hex(facts.fingerprint)},
          {"payload_bytes", static_cast<std::int64_t>(facts.payload_bytes)}};
}

std::string hex(shards::Fingerprint const& fingerprint) { return fmt::format("{:016x}{:016x}", fingerprint.hi, fingerprint.lo); }

}  // namespace pikv::runtime
