#include "runtime/fidelity/evaluate.hpp"

#include <omp.h>

#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "runtime/agree.hpp"
#include "runtime/build_info.hpp"
#include "runtime/fidelity/evaluator.hpp"
#include "runtime/output_file.hpp"

namespace pikv::runtime {

int run_evaluate(comm::World& world, EvaluateOptions const& options, std::string const& command_line) {
  omp_set_num_threads(threads_per_rank(options.cache, world));
  if (!options.write_tasks.empty()) {
    std::string const text = measured_text(world, options);
    agree(world, options.cache.deadline_s, [&] {
      if (world.rank() != 0) return;
      OutputFile file{options.write_tasks, "--write-tasks"};
      file.write(needle_texts(options.needles, text));
      file.commit();
    });
    return 0;
  }
  agree(world, options.cache.deadline_s, [&] {
    if (world.rank() != 0 || options.cache.report.empty()) return;
    open_part(options.cache.report, "--report");
    std::filesystem::remove(part_of(options.cache.report));
  });
  Evaluator evaluator{world, options, command_line};
  Fidelity const fidelity = evaluator.measure(options.cache);
  agree(world, options.cache.deadline_s, [&] {
    if (world.rank() != 0) return;
    std::cout << fidelity_table(fidelity) << std::flush;
    if (options.cache.report.empty()) return;
    OutputFile file{options.cache.report, "--report"};
    nlohmann::json const report = {{"version", version()},
                                   {"command", command_line},
                                   {"ranks", world.size()},
                                   {"tasks", evaluator.tasks().size()},
                                   {"fidelity", fidelity_json(fidelity)}};
    file.write(report.dump(2) + "\n");
    file.commit();
  });
  return 0;
}

}   // namespace pikv::runtime
