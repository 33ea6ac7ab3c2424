#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "comm/world.hpp"
#include "runtime/fidelity/logit_comparison.hpp"
#include "runtime/fidelity/shadow.hpp"
#include "runtime/fidelity/task.hpp"
#include "runtime/model/config.hpp"
#include "runtime/options.hpp"

namespace pikv::runtime {

/// A needle is found if every token of its answer would have been chosen, all before it being right. Losses are means over scored positions.
struct TaskScore {
  std::int64_t task = 0;         // its place in the list
  std::string kind;
  double depth = 0;
  std::int64_t length = 0;       // tokens of the context
  bool exact = true, found = true;
  double nll = 0, nll_exact = 0;
};

/// What a run kept of exact attention (methods 6), over all ranks.
struct Fidelity {
  std::uint64_t positions = 0;
  double nll = 0, nll_exact = 0, kl = 0, top1 = 0;   // means over the scored positions of text, or of all tasks if there is none
  AttentionFidelity attention;
  std::vector<TaskScore> tasks, needles;   // all that have a scored position; those that are no text
  double bytes_read_ratio = 1, bytes_kept_ratio = 1;
};

/// Bytes read and kept as shares of what exact attention over an uncompressed cache would have, from the counts of pages: pages, headers where they
/// are kept, and the summaries that say which pages to read.
void set_byte_ratios(Fidelity& fidelity, GenerateOptions const& options, ModelConfig const& config);

/// Collective: joins what the ranks have seen. The ratios are left to the caller.
Fidelity gather_fidelity(comm::World& world, std::span<EvalTask const> tasks, LogitComparison const& logits, AttentionFidelity const& attention,
                         double deadline_s);

/// Member "fidelity" of --report (interface.md), and the table that `pikv evaluate` prints.
nlohmann::json fidelity_json(Fidelity const& fidelity);
std::string fidelity_table(Fidelity const& fidelity);

}  // namespace pikv::runtime
