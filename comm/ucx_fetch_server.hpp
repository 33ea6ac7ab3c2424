#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <vector>

#include "comm/device_memory.hpp"
#include "comm/ucx_region.hpp"
#include "comm/ucx_worker.hpp"

namespace pikv::comm {

/// Answers peers that cannot reach this rank's memory themselves: sends them bytes (fetch), or copies to the device what they put (land).
/// All under the worker's lock.
class UcxFetchServer {
 public:
  UcxFetchServer(UcxWorker& worker, Rank self) : worker_{worker}, self_{self} {}
  /// From a handler, which may not send.
  void ask(UcxMessage what, UcxHeader const& request) { asked_.push_back({what, request}); }
  /// After progress: answers what was asked for since. A request outside the memory is a bug of the peer's: it is not answered.
  void serve(std::vector<std::unique_ptr<UcxRegion>> const& regions);
  bool all_sent() const { return asked_.empty() && std::ranges::all_of(answers_, &Answer::free); }

 private:
  struct Request {
    UcxMessage what;
    UcxHeader header;
  };
  struct Answer : UcxCompletion {
    void done(ucs_status_t) override { free = true; }
    UcxHeader header;
    std::unique_ptr<PinnedBuffer> from_device;
    bool free = true;
  };
  /// Answers with a buffer for device bytes and answers without are kept apart, so that buffers are few.
  Answer& free_answer(bool with_buffer);
  std::span<std::byte const> bytes_to_send(UcxRegion const& region, UcxHeader const& request, Answer& answer) const;

  UcxWorker& worker_;
  Rank self_;
  std::vector<Request> asked_;
  std::deque<Answer> answers_;   // stay where they are: UCX points into them
};

}  // namespace pikv::comm
