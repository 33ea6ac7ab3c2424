#include "runtime/checkpoint/saver.hpp"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>
#include <span>
#include <system_error>
#include <utility>

#include "comm/error.hpp"
#include "runtime/agree.hpp"
#include "runtime/attributes.hpp"
#include "runtime/build_info.hpp"
#include "runtime/checkpoint/files.hpp"
#include "runtime/checkpoint/resume.hpp"
#include "runtime/log.hpp"
#include "runtime/stop.hpp"

namespace pikv::runtime {

namespace fs = std::filesystem;

namespace {

void prepare_folder(fs::path const& folder, fs::path const& continued) {
  std::error_code trouble;
  fs::create_directories(folder, trouble);
  if (trouble || !fs::is_directory(folder, trouble))
    throw InputError(fmt::format("--checkpoint={} is no folder and cannot be made ({}); give another", folder.string(), trouble.message()));
  auto const there = checkpoints_in(folder);
  if (there.empty() || (!continued.empty() && fs::equivalent(folder, continued.parent_path().empty() ? "." : continued.parent_path(), trouble))) return;
  throw InputError(fmt::format("--checkpoint={0} holds checkpoints of another job (the newest is {1}); go on from it with --resume {0}, or give an empty folder",
                               folder.string(), there.front().filename().string()));
}

void expect_seen(fs::path const& folder, comm::World const& world) {
  std::error_code trouble;
  if (fs::is_directory(folder, trouble)) return;
  throw InputError(fmt::format("--checkpoint={} is not seen on {}; give a folder on a file system that all hosts share", folder.string(),
                               world.host_name(world.rank())));
}

std::string text_of(shards::PlacementOptions const& placement) {
  nlohmann::json places = nlohmann::json::array();
  for (shards::BucketPlace const& place : placement.places)
    places.push_back({{"bucket", place.bucket}, {"ranks", std::span{place.ranks}.first(static_cast<std::size_t>(place.parts))}});
  return nlohmann::json{{"epoch", placement.epoch}, {"buckets", placement.buckets}, {"epsilon", placement.epsilon}, {"weights", placement.weights}, {"places", places}}.dump();
}

}  // namespace

Saver::Saver(comm::World& world, GenerateOptions const& options, fs::path const& continued)
    : world_{world}, options_{options}, continued_{continued} {
  agree(world, options.deadline_s, [&] {
    if (world.rank() == 0) prepare_folder(options.checkpoint, continued);
  });
  agree(world, options.deadline_s, [&] { expect_seen(options.checkpoint, world); });
}

std::int32_t Saver::wants_to_stop() const {
  if (std::int32_t const signal = pending_signal(); signal != 0) return signal;
  bool const over = options_.time_limit_s > 0 && seconds_since_start() >= options_.time_limit_s - options_.time_margin_s;
  return world_.rank() == 0 && over ? time_limit_reached : 0;
}

void Saver::control_slot(shards::Step step, Engine const& engine, shards::Store& store, std::vector<Request> const& requests,
                         RestoredPages const* restored, Model const& model) {
  bool const due = options_.checkpoint_every > 0 && step > engine.first_step() && step % options_.checkpoint_every == 0;
  if (!due && !engine.stopped()) return;
  auto const began = std::chrono::steady_clock::now();
  CheckpointFacts facts;
  facts.version = version();
  facts.commit = commit();
  facts.saved = iso_time();
  facts.reason = engine.stopped() ? to_string(*engine.stopped()) : "interval";
  facts.step = step;
  facts.ranks = world_.size();
  facts.hosts = world_.hosts();
  facts.clock_s = engine.clock();
  facts.placement = text_of(store.placement());
  facts.fingerprint = store.options().fingerprint;
  facts.payload_bytes = store.options().layout.bytes();
  facts.options = given_attributes(options_.given);
  facts.model = model_attributes(model.config(), model.parameters());
  auto const name = checkpoint_name(options_.checkpoint, step);
  auto const written = CheckpointWriter{world_, store, restored, options_.deadline_s}.write(name, facts, requests, engine.state_of_home());
  if (world_.rank() != 0) return;
  if (!continued_.empty() && !std::exchange(has_saved_, true)) remove_future(name, engine.first_step());
  remove_older(options_.checkpoint, written.unread > 0 ? continued_ : fs::path{});
  double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  spdlog::info("checkpoint {}: {} pages, {:.1f} MiB, {:.2f} s", name.string(), written.pages, static_cast<double>(written.bytes) / (1 << 20), seconds);
  if (written.unsound > 0)
    spdlog::warn("checkpoint {}: {} pages were not what was sealed and are left out; they are computed again after a restore", name.string(), written.unsound);
}

std::string iso_time() {
  std::time_t const now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

}  // namespace pikv::runtime
