#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/world.hpp"
#include "runtime/coordinator/rank_plan.hpp"
#include "runtime/drift_watch.hpp"
#include "runtime/engine.hpp"
#include "runtime/model/model.hpp"
#include "runtime/model/tokenizer.hpp"
#include "runtime/options.hpp"
#include "runtime/request.hpp"
#include "runtime/sizing.hpp"
#include "shards/page_codecs.hpp"

namespace pikv::runtime {

/// What every rank knows before the first step.
struct Job {
  comm::World& world;
  GenerateOptions const& options;
  std::string const& command_line;
  std::filesystem::path model_dir;
  std::optional<Model> model;
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<Request> requests;
  Sizing sizing;
  std::string resumed_from;   // empty: a job of its own
  std::uint64_t generated_before = 0;
  RankPlan ranks;
  std::shared_ptr<shards::PageCodecs const> codecs{};   // null: pages stay as they are
  std::unique_ptr<DriftWatch> drift{};                  // null without a calibration
  std::unique_ptr<kernels::Device> device{};            // null: the host
};

/// "1 rank", "3 ranks".
std::string counted(int n, char const* one);

/// The bytes of a file that an option names; `-` is stdin. Throws InputError.
std::string read_text(std::string const& path, std::string const& option);
/// Collective. Rank 0 reads, all get the bytes: the file need not be visible everywhere, and stdin is rank 0's alone.
std::string text_of_file(comm::World& world, GenerateOptions const& options, std::string const& path, std::string const& option);

/// Model and tokenizer, of --model or the embedded one. Throws InputError.
void load_model(Job& job);
/// Collective: how the model's pages are stored, job.requests and the rank plan being known.
void load_codecs(Job& job);
/// Collective: --active-ranks and --rank-plan.
void read_rank_plan(Job& job);
/// Collective: slots for job.requests.
void size_job(Job& job);
EngineOptions engine_options(Job const& job);
EngineOptions engine_options(GenerateOptions const& options, Model const& model, Sizing const& sizing, RankPlan const& ranks,
                             std::shared_ptr<shards::PageCodecs const> codecs, shards::EncodeWatch* watch = nullptr);

/// Cores this rank may use: those it is bound to, else its share of the host's.
int threads_per_rank(GenerateOptions const& options, comm::World& world);

}  // namespace pikv::runtime
