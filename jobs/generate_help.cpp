#include "jobs/command.hpp"
#include "runtime/options.hpp"

namespace pikv::jobs {

std::string generate_help() {
  return "Usage: pikv generate [OPTIONS], alone, under mpirun or under srun\n\n"
         "Decodes prompts; text to stdout, or JSON lines to --output.\n\n" +
         runtime::options_help(runtime::generate_option_specs()) +
         "\nAn option may also stand in the environment, as PIKV_ and its name in capitals (PIKV_PAGE_TOKENS=16), or in the file that --config\n"
         "names; the command line goes before the environment, the environment before the file.\n"
         "SIZE: a number and KiB, MiB, GiB, kB, MB or GB. TIME: a number and us, ms, s, min or h.\n"
         "Exit codes: 0 done; 1 the run failed, or a request ended in an error; 2 a bad option, model, prompt file or plan.\n";
}

}  // namespace pikv::jobs
