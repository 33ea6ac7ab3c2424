#include "runtime/fidelity/sweep.hpp"

#include <string>

#include "comm/inprocess_world.hpp"
#include "jobs/command.hpp"
#include "runtime/agree.hpp"

namespace pikv::jobs {

std::string sweep_help() {
  return "Usage: pikv sweep --grid FILE --output FILE.h5 [OPTIONS], alone, under mpirun or under srun\n\n"
         "What `pikv evaluate` says, for every combination of a grid: {\"routers\": [..], \"schedulers\": [..], \"codecs\": [..], \"homes\": [..], "
         "\"keep\": [..],\n"
         "\"page_tokens\": [..], \"experts\": [..], \"read_pages\": [..]}, each list optional; the router `none` reads every page "
         "(docs/sweep.md).\n\n" +
         runtime::options_help(runtime::sweep_option_specs()) +
         "\nExit codes: 0 done; 1 the run failed; 2 a bad option, grid, model or file, or --output holds another sweep.\n";
}

int sweep(Arguments args) {
  runtime::SweepOptions options;
  std::string line = "pikv sweep";
  for (std::string const& arg : args) line += " " + arg;
  return run_command(
      [&] {
        options = runtime::parse_sweep_options(args);
        return decoding_shape(options.evaluate.cache, false);
      },
      [&](comm::World& outer) {
        if (options.evaluate.cache.in_process == 0) return runtime::run_sweep(outer, options, line);
        if (outer.size() > 1) throw runtime::AgreedError({2, "--in-process makes ranks of its own; leave it out under mpirun or srun"});
        comm::run_inprocess({.ranks = options.evaluate.cache.in_process, .seed = options.evaluate.cache.schedule_seed},
                            [&](comm::World& world) { (void)runtime::run_sweep(world, options, line); });
        return 0;
      });
}

}   // namespace pikv::jobs
