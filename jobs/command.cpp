#include "jobs/command.hpp"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

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
#include "comm/gpus.hpp"
#include "comm/mpi_world.hpp"
#include "comm/nccl.hpp"
#include "comm/nccl_put_world.hpp"
#include "comm/nccl_world.hpp"
#include "comm/setup.hpp"
#include "comm/transports.hpp"
#include "runtime/agree.hpp"
#include "runtime/log.hpp"
#include "runtime/options.hpp"

namespace pikv::jobs {
namespace {

comm::WorldOptions world_options(JobShape const& shape, comm::DeviceMemory* device = nullptr) {
  return {.threads_per_rank = shape.threads > 0 ? shape.threads : comm::usable_cores(), .progress = shape.progress, .silence_s = shape.deadline_s / 2, .device = device};
}

/// All ranks make the same one, also where one's options are bad: what they agree in.
std::unique_ptr<comm::World> make_first_world(JobShape const& shape) {
  if (!comm::launched_by_mpi()) return comm::make_solo_world();
  return comm::make_mpi_world(world_options(shape));
}

/// The world of the transport that was asked for, beside the first; null where that one does. `device` null: the GPU's memory as CUDA allocates it.
std::unique_ptr<comm::World> make_world(JobShape const& shape, comm::World& first, comm::DeviceMemory* device) {
  if (first.in_process() || comm::transports().at(shape.transport).make == comm::make_mpi_world) return nullptr;
  return comm::transports().at(shape.transport).make(world_options(shape, device));
}

void agree_on(comm::World& world, JobShape const& shape, std::string const& option, std::string const& mine, char const* variable) {
  auto const values = world.all_gather(std::as_bytes(std::span{mine}), world.in(shape.deadline_s));
  auto const differs = std::ranges::find_if(values, [&](comm::Bytes const& value) { return value != values[0]; });
  if (differs == values.end()) return;
  auto const text = [](comm::Bytes const& value) { return std::string{reinterpret_cast<char const*>(value.data()), value.size()}; };
  throw runtime::AgreedError{{2, fmt::format("rank 0 was given {} {}, rank {} {}; give all ranks the same (see {} on each host)", option, text(values[0]),
                                             differs - values.begin(), text(*differs), variable)}};
}

/// Before anything else of CUDA, UCX's use of it included.
comm::GpuPlacement take_gpus(comm::World& world, JobShape const& shape) {
  if (!shape.gpus) return {};
  auto placement = comm::take_gpus(world, world.in(shape.deadline_s));
  if (world.rank() == 0)
    for (std::string const& complaint : placement.complaints) spdlog::warn("{}", complaint);
  return placement;
}

/// What goes over NCCL: exchanges and puts of pages, each in a world over the one before, or in none where that cannot be, which is said.
class OverNccl {
 public:
  /// Collective. Asks for windows, if they are wanted: then `device` is the memory that the transport is to have.
  OverNccl(comm::World& first, JobShape const& shape, comm::GpuPlacement const& placement) : pages_{shape.nccl == "pages"} {
    if (shape.nccl == "off" || (!placement.any() && !pages_) || first.size() == 1) return;
    std::string const why_not = comm::why_not_nccl(first, placement, comm::nccl_built_in());
    exchanges_ = why_not.empty();
    if (!exchanges_) say(first, pages_ ? neither : no_exchanges, why_not);
    pages_ = pages_ && exchanges_ && all_have(first, comm::why_no_nccl_windows());
    if (pages_) device = &comm::nccl_memory();
  }

  comm::World& over(comm::World& world) {
    if (!exchanges_ || !tried(world, pages_ ? neither : no_exchanges, [&] { with_exchanges_ = comm::make_nccl_world(world); })) return world;
    comm::World& with = *with_exchanges_;
    bool const puts = pages_ && all_have(with, with.why_no_device_memory()) && tried(with, without_puts, [&] { with_puts_ = comm::make_nccl_put_world(with); });
    return puts ? *with_puts_ : with;
  }

  comm::DeviceMemory* device = nullptr;

 private:
  static constexpr char const* no_exchanges = "exchanges do not go";
  static constexpr char const* without_puts = "puts of pages do not go";
  static constexpr char const* neither = "neither exchanges nor puts of pages go";   // a second try would take as long to fail

  static void say(comm::World const& world, char const* what, std::string const& why) {
    if (world.rank() == 0) spdlog::warn("{} over NCCL: {}", what, why);
  }
  static bool all_have(comm::World& world, std::string const& mine) {
    auto const none = world.first_trouble(mine, world.in(comm::setup_seconds));
    if (none) say(world, without_puts, fmt::format("rank {} on {}: {}", none->rank, world.host_name(none->rank), none->text));
    return !none;
  }
  static bool tried(comm::World const& world, char const* what, comm::FunctionRef<void()> make) {
    try {
      make();
      return true;
    } catch (comm::NotConnected const& error) {
      say(world, what, error.what());
      return false;
    }
  }

  bool exchanges_ = false, pages_;
  std::unique_ptr<comm::World> with_exchanges_, with_puts_;
};

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

JobShape decoding_shape(runtime::GenerateOptions const& options, bool gpus) {
  return {options.threads, options.deadline_s, options.transport, options.progress, gpus, options.nccl, options.log_level};
}

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
    if (!shape.log_level.empty()) runtime::start_log(shape.log_level, all.rank());
    agree_on(all, shape, "--transport", shape.transport, "PIKV_TRANSPORT");
    agree_on(all, shape, "--nccl", shape.nccl, "PIKV_NCCL");
    auto const placement = take_gpus(all, shape);
    std::unique_ptr<comm::World> other;   // outlives what goes over it
    OverNccl nccl{all, shape, placement};
    other = make_world(shape, all, nccl.device);
    return body(nccl.over(other ? *other : all));
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
