#pragma once

#include <optional>
#include <string>
#include <vector>

#include "comm/world.hpp"
#include "runtime/fidelity/evaluate_options.hpp"
#include "runtime/fidelity/fidelity.hpp"
#include "runtime/fidelity/logit_comparison.hpp"
#include "runtime/fidelity/task.hpp"
#include "runtime/setup.hpp"

namespace pikv::runtime {

/// Measures cache settings against exact attention over fp32 pages: one model, one list of tasks, any number of settings. All calls are collective.
class Evaluator {
 public:
  /// Loads the model, reads or makes the tasks. Throws AgreedError.
  Evaluator(comm::World& world, EvaluateOptions const& options, std::string const& command_line);

  /// What `setting` loses. What exact attention says is computed once where the logits that are kept of all tasks fit into 1 GiB a rank, else for each
  /// setting again. Throws as run_generate does.
  Fidelity measure(GenerateOptions const& setting);

  Model const& model() const { return *job_.model; }
  std::vector<EvalTask> const& tasks() const { return tasks_; }

 private:
  std::size_t end_of_batch(std::size_t first) const;
  void run_exact(std::size_t first);
  void run(LogitsObserver observer, AttentionFidelity* attention);

  comm::World& world_;
  EvaluateOptions const& options_;
  GenerateOptions active_;   // what the job sees
  Job job_;
  std::vector<EvalTask> tasks_;
  LogitComparison logits_;
  std::optional<std::size_t> exact_from_;   // the first of the tasks whose exact logits are kept
};

/// Collective: the text that is measured and that needles are hidden in, --text or the held-out one.
std::string measured_text(comm::World& world, EvaluateOptions const& options);

}   // namespace pikv::runtime
