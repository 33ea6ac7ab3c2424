#include <string>

#include "comm/inprocess_world.hpp"
#include "jobs/command.hpp"
#include "runtime/agree.hpp"
#include "runtime/fidelity/evaluate.hpp"

namespace pikv::jobs {

std::string evaluate_help() {
  return "Usage: pikv evaluate [OPTIONS], alone, under mpirun or under srun\n\n"
         "Fidelity of a cache setting: held-out text and needles, once with exact attention over fp32 pages and once as the options say.\n\n" +
         runtime::options_help(runtime::evaluate_option_specs()) +
         "\nExit codes: 0 done; 1 the run failed; 2 a bad option, model or file.\n";
}

int evaluate(Arguments args) {
  runtime::EvaluateOptions options;
  std::string line = "pikv evaluate";
  for (std::string const& arg : args) line += " " + arg;
  return run_command(
      [&] {
        options = runtime::parse_evaluate_options(args);
        return decoding_shape(options.cache, false);
      },
      [&](comm::World& outer) {
        if (options.cache.in_process == 0) return runtime::run_evaluate(outer, options, line);
        if (outer.size() > 1) throw runtime::AgreedError({2, "--in-process makes ranks of its own; leave it out under mpirun or srun"});
        comm::run_inprocess({.ranks = options.cache.in_process, .seed = options.cache.schedule_seed},
                            [&](comm::World& world) { (void)runtime::run_evaluate(world, options, line); });
        return 0;
      });
}

}  // namespace pikv::jobs
