#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "comm/function_ref.hpp"
#include "comm/world.hpp"
#include "runtime/checkpoint/format.hpp"
#include "runtime/checkpoint/restored_pages.hpp"
#include "shards/snapshot.hpp"

namespace pikv::runtime {

/// What one home brings to a checkpoint: how far its requests are, by index of the request; and their pages, wherever they lie.
struct HomeState {
  struct Progress {
    std::int64_t index = 0;
    Phase phase = Phase::waiting;
    Result result;
    shards::StreamId stream{};
    std::int64_t length = 0;
    std::string policy{};                    // as in SavedRequest
    std::vector<EvictedPage> evicted{};
  };
  struct Unread {   // a page that is still only in the checkpoint this job went on from
    std::int64_t row = 0;
    PageRow page;
  };
  std::vector<Progress> progress;
  std::vector<shards::PageRef> pages;
  std::vector<Unread> unread;
};

struct WrittenCheckpoint {
  std::uint64_t pages = 0, bytes = 0;   // of all ranks; bytes of headers and payloads
  std::uint64_t unread = 0;             // of them: were still only in the checkpoint that this job went on from
  std::uint64_t unsound = 0;            // of them: not what was sealed, left empty, to be computed again after a restore
};

/// Collective, at the control slot. Writes `name` (docs/checkpoint.md): rank 0 the requests, each rank the pages it holds, over MPI all at
/// the same time, in process in turn. Written as NAME.part, synced and renamed when whole. Trouble of one rank is agreed on: all throw the
/// same AgreedError (code 1), and what `name` was before is untouched. Each page is verified when it is copied, also out of the old checkpoint.
class CheckpointWriter {
 public:
  /// `restored`: what this job went on from, null if from nothing.
  CheckpointWriter(comm::World& world, shards::Store& store, RestoredPages const* restored, double deadline_s);

  WrittenCheckpoint write(std::filesystem::path const& name, CheckpointFacts const& facts, std::vector<Request> const& requests, HomeState const& mine);

 private:
  struct File;
  struct Layout;
  Layout lay_out(HomeState const& mine);
  std::vector<SavedRequest> gather_requests(std::vector<Request> const& requests, HomeState const& mine);
  void write_in_turn(std::filesystem::path const& part, Layout const& layout, WrittenCheckpoint& written);
  void write_together(std::filesystem::path const& part, Layout const& layout, WrittenCheckpoint& written);
  void write_pages(File& file, Layout const& layout, WrittenCheckpoint& written);
  void agree(comm::FunctionRef<void()> local);

  comm::World& world_;
  shards::Store& store_;
  RestoredPages const* restored_;
  double deadline_s_;
};

}  // namespace pikv::runtime
