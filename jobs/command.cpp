#include "jobs/command.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <span>
#include <string>

#include "comm/cores.hpp"
#include "comm/error.hpp"
#include "comm/mpi_world.hpp"
#include "comm/transports.hpp"
#include "runtime/agree.hpp"
#include "runtime/log.hpp"

namespace pikv::jobs {
namespace {

comm::WorldOptions world_options(JobShape const& shape) {
  return {.threads_per_rank = shape.threads > 0 ? shape.threads : comm::usable_cores(), .progress = shape.progress, .silence_s = shape.deadline_s / 2};
}

/// All ranks make the same one, also where one's options are bad: what they agree in.
std::unique_ptr<comm::World> make_first_world(JobShape const& shape) {
  if (!comm::launched_by_mpi()) return comm::make_solo_world();
  return comm::make_mpi_world(world_options(shape));
}

/// The world of the transport that was asked for, beside the first; null where that one does.
std::unique_ptr<comm::World> make_world(JobShape const& shape, comm::World& first) {
  if (first.in_process() || comm::transports().at(shape.transport).make == comm::make_mpi_world) return nullptr;
  return comm::transports().at(shape.transport).make(world_options(shape));
}

void agree_on_transport(comm::World& world, JobShape const& shape) {
  auto const names = world.all_gather(std::as_bytes(std::span{shape.transport}), world.in(shape.deadline_s));
  auto const differs = std::ranges::find_if(names, [&](comm::Bytes const& name) { return name != names[0]; });
  if (differs == names.end()) return;
  auto const text = [](comm::Bytes const& name) { return std::string{reinterpret_cast<char const*>(name.data()), name.size()}; };
  throw runtime::AgreedError{{2, "rank 0 was given --transport " + text(names[0]) + ", rank " + std::to_string(differs - names.begin()) + " " +
                                    text(*differs) + "; give all ranks the same (see PIKV_TRANSPORT on each host)"}};
}

void check_stdout_took_all() {
  errno = 0;
  bool const done = std::cout.flush() && std::fflush(stdout) == 0;
  if (done) return;
  std::string const reason = errno != 0 ? fmt::format(" ({})", std::strerror(errno)) : "";   // of an earlier write it is not known
  throw RunError(fmt::format("the result could not be written to stdout{}; give it a place that takes it", reason));
}

/// mpirun kills the other ranks when one ends with a code: rank 0 speaks first, the others wait for it.
int say_together(comm::World& world, JobShape const& shape, runtime::AgreedError const& error) {
  if (world.rank() == 0) runtime::say_error(error.what());
  (void)runtime::outcome_of([&] { world.barrier(world.in(shape.deadline_s)); });
  return error.code;
}

int run_in(comm::World& world, JobShape const& shape, comm::FunctionRef<int(comm::World&)> body) {
  int code = 0;
  auto const outcome = runtime::outcome_of([&] {
    try {
      runtime::Doing doing{"running the sub-command"};
      code = body(world);
      runtime::agree(world, shape.deadline_s, [] { check_stdout_took_all(); });
    } catch (runtime::AgreedError const& error) {
      code = say_together(world, shape, error);
    }
  });
  if (outcome.code == 0) return code;
  if (world.size() > 1) world.abort(outcome.code, outcome.sentence);
  runtime::say_error(outcome.sentence);
  return outcome.code;
}

}  // namespace

int run_command(comm::FunctionRef<JobShape()> parse, comm::FunctionRef<int(comm::World&)> body) {
  JobShape shape;
  auto const parsed = runtime::outcome_of([&] { shape = parse(); });
  std::unique_ptr<comm::World> world;
  if (auto const started = runtime::outcome_of([&] { world = make_first_world(shape); }); started.code != 0) {
    runtime::say_error(started.sentence);
    return started.code;
  }
  return run_in(*world, shape, [&](comm::World& all) {
    runtime::agree(all, shape.deadline_s, [&] {
      if (parsed.code != 0) throw runtime::AgreedError{parsed};
    });
    agree_on_transport(all, shape);
    auto const other = make_world(shape, all);
    return body(other ? *other : all);
  });
}

int run_on_rank_0(comm::FunctionRef<void()> action) {
  return run_command([] { return JobShape{}; },
                     [&](comm::World& world) {
                       runtime::agree(world, JobShape{}.deadline_s, [&] {
                         if (world.rank() == 0) action();
                       });
                       return 0;
                     });
}

}  // namespace pikv::jobs
