#include "comm/ucx_fetch_server.hpp"

#include <algorithm>

namespace pikv::comm {

void UcxFetchServer::serve(std::vector<std::unique_ptr<UcxRegion>> const& regions) {
  for (UcxHeader const& request : asked_) {
    if (request.region >= regions.size()) continue;
    UcxRegion const& region = *regions[request.region];
    if (request.bytes > region.bytes() || request.byte > region.bytes() - request.bytes) continue;
    Answer& answer = free_answer();
    answer.free = false;
    answer.header = {self_, request.channel, request.number, 0, 0, 0};
    worker_.send(request.from, UcxMessage::fetched, answer.header, {region.data() + request.byte, request.bytes}, answer);
  }
  asked_.clear();
}

UcxFetchServer::Answer& UcxFetchServer::free_answer() {
  auto const found = std::ranges::find_if(answers_, &Answer::free);
  return found != answers_.end() ? *found : answers_.emplace_back();
}

}  // namespace pikv::comm
