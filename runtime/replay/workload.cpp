#include "runtime/replay/workload.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <vector>

#include "shards/mix.hpp"

namespace pikv::runtime::replay {
namespace {

enum class Draw : std::uint64_t { arrival, prefix, turns, prefix_length, input, output, think };

class Random {
 public:
  explicit Random(std::uint64_t seed) : seed_{shards::mix(seed)} {}
  /// In (0, 1]; the same for the same arguments.
  double uniform(Draw draw, std::int64_t of, std::int64_t turn = 0) const {
    auto const place = shards::mix(static_cast<std::uint64_t>(turn) * 8 + static_cast<std::uint64_t>(draw));
    auto const bits = shards::mix(seed_ ^ shards::mix(static_cast<std::uint64_t>(of) ^ place));
    return static_cast<double>((bits >> 11) + 1) * 0x1p-53;
  }
  double exponential(double mean, Draw draw, std::int64_t of, std::int64_t turn = 0) const { return -mean * std::log(uniform(draw, of, turn)); }
  std::int64_t tokens(double mean, Draw draw, std::int64_t of, std::int64_t turn = 0) const {
    return 1 + static_cast<std::int64_t>(exponential(mean, draw, of, turn));
  }

 private:
  std::uint64_t seed_;
};

class Popularity {
 public:
  Popularity(std::int64_t prefixes, double zipf) {
    double sum = 0;
    for (std::int64_t i = 1; i <= prefixes; ++i) sums_.push_back(sum += std::pow(static_cast<double>(i), -zipf));
  }
  std::int64_t at(double share) const { return std::ranges::lower_bound(sums_, share * sums_.back()) - sums_.begin(); }

 private:
  std::vector<double> sums_;
};

struct Turn {
  double moment_s;
  std::int64_t session, turn, prefix, prefix_tokens, input_tokens, output_tokens;
};

class Sessions {
 public:
  explicit Sessions(Workload const& workload) : workload_{workload}, random_{workload.seed}, popularity_{workload.prefixes, workload.zipf} {}

  std::vector<Turn> turns() {
    double arrival_s = 0;
    for (std::int64_t session = 0; session < workload_.requests; ++session) {
      arrival_s += random_.exponential(workload_.turns / workload_.rate, Draw::arrival, session);
      add(session, arrival_s);
    }
    std::ranges::sort(turns_, {}, [](Turn const& turn) { return std::tuple{turn.moment_s, turn.session, turn.turn}; });
    turns_.resize(static_cast<std::size_t>(workload_.requests));   // each session has a turn at least, and later sessions come later
    return std::move(turns_);
  }

 private:
  std::int64_t turns_of(std::int64_t session) const {
    if (workload_.turns <= 1) return 1;
    return 1 + static_cast<std::int64_t>(std::log(random_.uniform(Draw::turns, session)) / std::log1p(-1 / workload_.turns));
  }

  void add(std::int64_t session, double moment_s) {
    auto const prefix = popularity_.at(random_.uniform(Draw::prefix, session));
    auto const prefix_tokens = std::min(random_.tokens(workload_.prefix_tokens, Draw::prefix_length, prefix), most_input_tokens / 2);
    std::int64_t length = prefix_tokens;
    for (std::int64_t turn = 0; turn < turns_of(session); ++turn) {
      auto const input = length + random_.tokens(workload_.input_tokens, Draw::input, session, turn);
      if (turn > 0 && input > most_input_tokens) return;
      auto const output = random_.tokens(workload_.output_tokens, Draw::output, session, turn);
      turns_.push_back({moment_s, session, turn, prefix, prefix_tokens, std::min(input, most_input_tokens), output});
      length = turns_.back().input_tokens + output;
      moment_s += random_.exponential(workload_.think_s, Draw::think, session, turn);
    }
  }

  Workload const& workload_;
  Random random_;
  Popularity popularity_;
  std::vector<Turn> turns_;
};

class HashIds {
 public:
  std::vector<std::int64_t> of(Turn const& turn) {
    std::vector<std::int64_t> ids;
    for (std::int64_t block = 0; block * block_tokens < turn.input_tokens; ++block) {
      auto const end = (block + 1) * block_tokens;
      if (end <= turn.prefix_tokens)
        ids.push_back(number({Owner::prefix, turn.prefix, block, 0}));
      else
        ids.push_back(number({Owner::session, turn.session, block, end <= turn.input_tokens ? whole : turn.turn}));
    }
    return ids;
  }

 private:
  enum class Owner { prefix, session };
  static constexpr std::int64_t whole = -1;
  using Name = std::tuple<Owner, std::int64_t, std::int64_t, std::int64_t>;   // whose, which, block, turn of one that is not full

  std::int64_t number(Name const& name) { return numbers_.try_emplace(name, static_cast<std::int64_t>(numbers_.size())).first->second; }

  std::map<Name, std::int64_t> numbers_;
};

}   // namespace

void generate(Workload const& workload, comm::FunctionRef<void(std::string_view line)> write) {
  HashIds ids;
  for (Turn const& turn : Sessions{workload}.turns())
    write(fmt::format(R"({{"timestamp": {:.0f}, "input_length": {}, "output_length": {}, "hash_ids": [{}]}})", 1000 * turn.moment_s,
                      turn.input_tokens, turn.output_tokens, fmt::join(ids.of(turn), ", ")));
}

}   // namespace pikv::runtime::replay
