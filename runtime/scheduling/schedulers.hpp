#pragma once

#include <map>
#include <memory>
#include <span>
#include <string_view>

#include "runtime/scheduling/scheduler.hpp"

namespace pikv::runtime {

/// What a scheduler is made with; one object per layer of a stream.
struct SchedulerMaterial {
  LayerShape shape;
  std::span<PageSummaries const> summaries;   // by table; empty where the entry does not need them
  double keep = 1;
  std::span<Scheduler* const> before{};       // of the layers below, same stream and entry, by layer; empty: this layer stands alone
};

enum class SchedulerKind { none, retention, selection, placement };

struct SchedulerEntry {
  std::string_view sentence;       // for `pikv list schedulers`
  SchedulerKind kind = SchedulerKind::none;
  bool by_head = false;            // wants a page table per KV head
  bool masses = false;             // wants read()
  bool queries = false;            // wants query()
  bool summaries = false;          // wants material.summaries
  bool replays = false;            // decides from reads alone, so that `pikv replay` can drive it
  std::unique_ptr<Scheduler> (*make)(SchedulerMaterial const&) = nullptr;
};

/// name -> policy that decides what of a stream is kept or read. --help, errors, `pikv list`, replay, the sweep and the test that tries each
/// read this table; a new one is one file in scheduling/ and one line.
std::map<std::string_view, SchedulerEntry> const& schedulers();

}  // namespace pikv::runtime
