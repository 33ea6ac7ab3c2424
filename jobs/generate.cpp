#include <string>

#include "comm/device_memory.hpp"
#include "comm/inprocess_world.hpp"
#include "jobs/command.hpp"
#include "kernels/cuda/device.hpp"
#include "runtime/agree.hpp"
#include "runtime/job.hpp"
#include "runtime/options.hpp"

namespace pikv::jobs {
namespace {

std::string command_line(Arguments args) {
  std::string line = "pikv generate";
  for (std::string const& arg : args) line += " " + arg;
  return line;
}

// Where CUDA is built in, whether a GPU is there or not: then that is said.
runtime::MakeDevice gpu() { return comm::gpus_found() ? kernels::cuda::make_device : nullptr; }

int run_in_process(comm::World& outer, runtime::GenerateOptions const& options, std::string const& line) {
  if (outer.size() > 1) throw runtime::AgreedError({2, "--in-process makes ranks of its own; leave it out under mpirun or srun"});
  int code = 0;
  comm::run_inprocess({.ranks = options.in_process, .seed = options.schedule_seed}, [&](comm::World& world) {
    int const mine = runtime::run_generate(world, options, line, gpu());
    if (world.rank() == 0) code = mine;
  });
  return code;
}

}  // namespace

int generate(Arguments args) {
  runtime::GenerateOptions options;
  return run_command(
      [&] {
        options = runtime::parse_generate_options(args);
        return decoding_shape(options, true);
      },
      [&](comm::World& world) {
        if (options.in_process > 0) return run_in_process(world, options, command_line(args));
        return runtime::run_generate(world, options, command_line(args), gpu());
      });
}

}  // namespace pikv::jobs
