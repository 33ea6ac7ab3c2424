#pragma once

#include <span>
#include <string>
#include <string_view>

#include "comm/function_ref.hpp"
#include "comm/transports.hpp"
#include "comm/world.hpp"

namespace pikv::runtime {
struct GenerateOptions;
}

namespace pikv::jobs {

using Arguments = std::span<std::string const>;   // what follows the sub-command's name

/// One sub-command. main.cpp has the table.
struct Command {
  std::string_view name;
  std::string_view sentence;         // for `pikv --help`
  std::string (*help)();             // for `pikv NAME --help`
  int (*run)(Arguments args);        // the exit code
};

/// What making the world needs of the options.
struct JobShape {
  int threads = 0;         // per rank; 0: not said
  double deadline_s = 30;
  std::string transport = "mpi";
  comm::ProgressThread progress;
  bool gpus = false;       // each rank takes a GPU, where there are any, and what goes wrong with that is said
  std::string nccl = "off";   // as --nccl says, where each has one of its own
  std::string log_level;   // empty: no log
};
/// Of the sub-commands that decode.
JobShape decoding_shape(runtime::GenerateOptions const& options, bool gpus);

/// The frame of every sub-command: `parse` reads options (before MPI starts), then a world over the ranks that mpirun or srun started, or
/// this process alone, then `body` on every rank; its result is the exit code, the same on all ranks. Trouble of `parse`, or thrown as
/// AgreedError (runtime/agree.hpp), is said once, in one sentence. Any other exception of one rank ends the job at once with that rank's
/// sentence. stdout that cannot be written is trouble too.
int run_command(comm::FunctionRef<JobShape()> parse, comm::FunctionRef<int(comm::World&)> body);

/// A sub-command's job on rank 0 alone, the others wait: for what prints and computes nothing together.
int run_on_rank_0(comm::FunctionRef<void()> action);

int analyze(Arguments args);
std::string analyze_help();

int calibrate(Arguments args);
std::string calibrate_help();

int checkpoint(Arguments args);
std::string checkpoint_help();

int evaluate(Arguments args);
std::string evaluate_help();

int generate(Arguments args);
std::string generate_help();

int list(Arguments args);
std::string list_help();

int model(Arguments args);
std::string model_help();

int replay(Arguments args);
std::string replay_help();

int sweep(Arguments args);
std::string sweep_help();

}  // namespace pikv::jobs
