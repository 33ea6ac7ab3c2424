#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <vector>

#include "comm/ucx_region.hpp"
#include "comm/ucx_worker.hpp"

namespace pikv::comm {

/// Answers peers that cannot read this rank's memory themselves. All under the worker's lock.
class UcxFetchServer {
 public:
  UcxFetchServer(UcxWorker& worker, Rank self) : worker_{worker}, self_{self} {}
  /// From a handler, which may not send.
  void ask(UcxHeader const& request) { asked_.push_back(request); }
  /// After progress: sends what was asked for since. A request outside the memory is a bug of the peer's: it is not answered.
  void serve(std::vector<std::unique_ptr<UcxRegion>> const& regions);
  bool all_sent() const { return asked_.empty() && std::ranges::all_of(answers_, &Answer::free); }

 private:
  struct Answer : UcxCompletion {
    void done(ucs_status_t) override { free = true; }
    UcxHeader header;
    bool free = true;
  };
  Answer& free_answer();

  UcxWorker& worker_;
  Rank self_;
  std::vector<UcxHeader> asked_;
  std::deque<Answer> answers_;   // stay where they are: UCX points into them
};

}  // namespace pikv::comm
