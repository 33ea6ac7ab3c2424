#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "comm/device_memory.hpp"
#include "comm/world.hpp"
#include "kernels/device.hpp"
#include "runtime/calibration/calibration.hpp"
#include "runtime/engine.hpp"
#include "runtime/options.hpp"
#include "runtime/request.hpp"
#include "tests/small_form.hpp"

namespace pikv::test {

/// The row of logits after the token at `position` of request `index`.
using Rows = std::map<std::pair<std::int64_t, std::int64_t>, std::vector<float>>;

/// What one rank, or all together, made of some requests.
struct Decoded {
  std::map<std::int64_t, runtime::Result> results;           // by index of the request
  Rows logits;                                               // of every position, if asked for
  std::vector<std::vector<runtime::StepRecord>> steps;       // by rank; [step], all ranks have equally many
  shards::Counts counts;                                     // pages_sealed, pages_remote, pages_fetched, rewinds, those of moves: summed over ranks
};

struct Watch {
  bool logits = false;
  runtime::Calibration const* calibration = nullptr;   // where the codec wants one
  std::string rank_plan{};   // as in a file of --rank-plan
  comm::DeviceMemory* memory = nullptr;   // of the device that each rank makes; null: pages lie and the step runs on the host
  std::unique_ptr<kernels::Device> (*device)() = nullptr;
  std::function<void(comm::World const&, shards::Step)> before_step{};
  std::function<void(comm::World const&, runtime::StepRecord const&, shards::Store&)> after_step{};
  std::function<void(runtime::PlanRows const&)> plan{};      // on rank 0
  std::function<runtime::LayerProbe*(comm::World const&, shards::Store const&)> probe{};
};

/// Decodes on `options.in_process` ranks of this process, one thread each. Of the options those count that decide what is computed:
/// model, batch, pages, chunk, sampling, budget, store, move, schedule seed, and those of the coordinator.
Decoded decode(runtime::GenerateOptions const& options, std::span<runtime::Request const> requests, Watch const& watch = {});

/// This rank's part of a decode over `world`. Collective.
Decoded decode_on(comm::World& world, runtime::GenerateOptions const& options, std::span<runtime::Request const> requests,
                  Watch const& watch = {});

/// Options for the model in `dir` on `ranks` ranks of this process: f32 pages, greedy.
runtime::GenerateOptions options_for(std::filesystem::path const& dir, int ranks);

/// Of `all`, in the small form only those of `few`, each of which is one of them.
std::vector<std::string> in_small_form_only(std::vector<std::string> all, std::set<std::string> const& few);

}   // namespace pikv::test
