#include "runtime/calibration/calibrate.hpp"

#include <string>

#include "comm/inprocess_world.hpp"
#include "jobs/command.hpp"
#include "runtime/agree.hpp"

namespace pikv::jobs {

std::string calibrate_help() {
  return "Usage: pikv calibrate --output FILE.h5 [OPTIONS], alone, under mpirun or under srun\n\n"
         "Runs text through the model and writes what codecs need to know of its keys and values: moments, bases, spectra, held-out errors "
         "(docs/calibration.md). Prints the errors.\n\n" +
         runtime::options_help(runtime::calibrate_option_specs()) +
         "\nExit codes: 0 done; 1 the run failed; 2 a bad option, model or file.\n";
}

int calibrate(Arguments args) {
  runtime::CalibrateOptions options;
  std::string line = "pikv calibrate";
  for (std::string const& arg : args) line += " " + arg;
  return run_command(
      [&] {
        options = runtime::parse_calibrate_options(args);
        return decoding_shape(options.cache, false);
      },
      [&](comm::World& outer) {
        if (options.cache.in_process == 0) return runtime::run_calibrate(outer, options, line);
        if (outer.size() > 1) throw runtime::AgreedError({2, "--in-process makes ranks of its own; leave it out under mpirun or srun"});
        comm::run_inprocess({.ranks = options.cache.in_process, .seed = options.cache.schedule_seed},
                            [&](comm::World& world) { (void)runtime::run_calibrate(world, options, line); });
        return 0;
      });
}

}   // namespace pikv::jobs
