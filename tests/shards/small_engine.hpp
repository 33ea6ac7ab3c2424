#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "comm/world.hpp"
#include "kernels/buffer.hpp"
#include "shards/store.hpp"

namespace pikv::shards::testing {

/// Keys, values and queries that are a pure function of what they belong to: whoever appends a token again appends the same, and
/// an oracle can make any of them.
inline float number(std::uint64_t stream, std::int64_t position, std::int32_t layer, std::int32_t head, std::int32_t c, char what) {
  std::uint64_t x = mix(stream ^ mix(static_cast<std::uint64_t>(position)));
  x = mix(x ^ static_cast<std::uint64_t>((layer * 64 + head) * 256 + c) ^ (static_cast<std::uint64_t>(what) << 40));
  return static_cast<float>(static_cast<double>(x >> 40) / (1 << 23) - 1.0);
}

/// The least engine over a store: streams that grow by `rows` tokens a step up to `length`, each output row compared with attention in
/// double precision over the keys and values that should be there.
struct SmallEngine {
  struct Plan {
    std::int64_t length = 40;        // of each stream
    std::int32_t rows = 3;           // per step
    int quiet_steps = 8;             // at the end, so that the last drops arrive and slots come back
    int streams = 2;                 // per rank, one after the other released when done
    std::function<void(Step, Store&)> between = [](Step, Store&) {};   // after end_step, on every rank
    std::function<void(Step)> before = [](Step) {};
    std::function<void(std::uint64_t id, std::int64_t position, std::int32_t layer, std::int32_t head, std::span<float const> row)> output{};
    std::function<bool(Step)> rest = [](Step) { return false; };   // steps in which no stream grows
  };

  SmallEngine(comm::World& on, Store& over, Plan with) : world{on}, store{over}, plan{std::move(with)} {}

  comm::World& world;
  Store& store;
  Plan plan;
  double worst = 0;                  // largest error of an output
  std::uint64_t outputs = 0, rewinds = 0;

  struct Running {
    std::uint64_t id;
    Stream* stream;
  };
  std::vector<Running> running;

  void run() {
    StoreOptions const& o = store.options();
    auto const control = world.make_exchange({"control", 0, 64 + Store::control_bytes(o)});
    for (int s = 0; s < plan.streams; ++s) {
      auto const id = static_cast<std::uint64_t>(world.rank() * 100 + s);
      running.push_back({id, &store.open({id, mix(id)}, blocks_for(plan.length, o.layout.page_tokens))});
    }
    std::vector<Segment> segments;
    std::vector<std::uint64_t> ids;
    for (Step step = 0;; ++step) {
      plan.before(step);
      segments.clear();
      ids.clear();
      std::size_t room = store.free_home_slots();
      for (Running const& r : running) {
        auto const rows = static_cast<std::int32_t>(std::min<std::int64_t>(plan.rows, plan.length - r.stream->length()));
        std::size_t const pages = store.new_pages(*r.stream, rows);
        if (rows == 0 || pages > room || plan.rest(step)) continue;
        room -= pages;
        segments.push_back({r.stream, rows});
        ids.push_back(r.id);
      }
      if (!exchange_control(*control, step, running.empty(), segments)) return;
      store.begin_step(step, step, segments);
      for (std::int32_t layer = 0; layer < o.layers; ++layer) attend(layer, segments, ids);
      for (Damage const& damage : store.end_step()) {
        store.rewind(*damage.stream, damage.block);
        ++rewinds;
      }
      plan.between(step, store);
      std::erase_if(running, [&](Running const& r) {
        if (r.stream->length() < plan.length) return false;
        store.release(*r.stream);
        return true;
      });
    }
  }

 private:
  bool exchange_control(comm::Exchange& control, Step step, bool idle, std::vector<Segment> const& segments) {
    store.plan(segments);
    for (comm::Rank to = 0; to < world.size(); ++to) {
      comm::MessageWriter out{control.outgoing(to)};
      out.value(std::uint64_t{idle});
      store.write_control(to, out);
    }
    control.start();
    finish_or_throw(world, control, store.options().deadline_s, step, -1);
    bool all_idle = true;
    for (comm::Rank from = 0; from < world.size(); ++from) {
      comm::MessageReader in{control.incoming(from)};
      all_idle = in.value<std::uint64_t>() != 0 && all_idle;
      store.read_control(from, in);
    }
    quiet_steps_ = all_idle ? quiet_steps_ + 1 : 0;
    return quiet_steps_ < plan.quiet_steps;
  }

  std::vector<float> fill(std::vector<Segment> const& segments, std::vector<std::uint64_t> const& ids, std::int32_t layer, std::int32_t heads, char what) const {
    std::vector<float> rows;
    for (std::size_t s = 0; s < segments.size(); ++s)
      for (std::int32_t r = 0; r < segments[s].rows; ++r)
        for (std::int32_t h = 0; h < heads; ++h)
          for (std::int32_t c = 0; c < store.options().layout.head_dim; ++c)
            rows.push_back(number(ids[s], segments[s].stream->length() + r, layer, h, c, what));
    return rows;
  }

  void attend(std::int32_t layer, std::vector<Segment> const& segments, std::vector<std::uint64_t> const& ids) {
    StoreOptions const& o = store.options();
    auto const k = fill(segments, ids, layer, o.layout.kv_heads, 'k'), v = fill(segments, ids, layer, o.layout.kv_heads, 'v');
    auto const q = fill(segments, ids, layer, o.q_heads, 'q');
    store.append(layer, k_(k.data(), k.size()), v_(v.data(), v.size()));
    store.attend_start(layer, q_(q.data(), q.size()));
    store.attend_finish(layer, out_.resize(q.size()));
    float const* const out = out_on_host_(out_.data(), q.size());
    std::size_t at = 0;
    for (std::size_t s = 0; s < segments.size(); ++s) {
      bool const damaged = store.damaged(*segments[s].stream);
      for (std::int32_t r = 0; r < segments[s].rows; ++r)
        for (std::int32_t h = 0; h < o.q_heads; ++h, at += static_cast<std::size_t>(o.layout.head_dim))
          if (!damaged) compare(ids[s], segments[s].stream->length() + r, layer, h, out + at);
    }
  }

  /// number() of [position][c] for at least `positions` positions. Made once: an output needs those of all positions before it.
  float const* numbers(std::uint64_t id, std::int32_t layer, std::int32_t head, char what, std::int64_t positions) {
    std::int32_t const d = store.options().layout.head_dim;
    std::vector<float>& made = numbers_[{id, layer, head, what}];
    for (auto t = static_cast<std::int64_t>(made.size()) / d; t < positions; ++t)
      for (std::int32_t c = 0; c < d; ++c) made.push_back(number(id, t, layer, head, c, what));
    return made.data();
  }

  void compare(std::uint64_t id, std::int64_t position, std::int32_t layer, std::int32_t head, float const* got) {
    StoreOptions const& o = store.options();
    std::int32_t const d = o.layout.head_dim, kv = head / (o.q_heads / o.layout.kv_heads);
    std::vector<double> sums(static_cast<std::size_t>(d), 0.0);
    double* const sum = sums.data();
    double denom = 0;
    float const* const q = numbers(id, layer, head, 'q', position + 1) + position * d;
    float const *k = numbers(id, layer, kv, 'k', position + 1), *v = numbers(id, layer, kv, 'v', position + 1);
    for (std::int64_t t = 0; t <= position; ++t, k += d, v += d) {
      double logit = 0;
      for (std::int32_t c = 0; c < d; ++c) logit += double{q[c]} * k[c];
      double const weight = std::exp(logit / std::sqrt(d));
      denom += weight;
      for (std::int32_t c = 0; c < d; ++c) sum[c] += weight * v[c];
    }
    for (std::int32_t c = 0; c < d; ++c) {
      double const error = std::abs(sum[c] / denom - got[c]);
      if (!(error <= worst)) worst = error;   // also when it is not a number
    }
    ++outputs;
    if (plan.output) plan.output(id, position, layer, head, {got, static_cast<std::size_t>(d)});
  }

  std::map<std::tuple<std::uint64_t, std::int32_t, std::int32_t, char>, std::vector<float>> numbers_;   // by stream, layer, head, what
  int quiet_steps_ = 0;
  kernels::OnDevice<float> k_{store.arena().device()}, v_{store.arena().device()}, q_{store.arena().device()};
  kernels::Buffer<float> out_{store.arena().device()};
  kernels::OnHost<float> out_on_host_{store.arena().device()};
};

}  // namespace pikv::shards::testing
