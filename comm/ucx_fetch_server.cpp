#include "comm/ucx_fetch_server.hpp"

#include <algorithm>
#include <bit>

namespace pikv::comm {

void UcxFetchServer::serve(std::vector<std::unique_ptr<UcxRegion>> const& regions) {
  for (auto const& [what, request] : asked_) {
    if (request.region >= regions.size()) continue;
    UcxRegion& region = *regions[request.region];
    if (request.bytes > region.bytes() || request.byte > region.bytes() - request.bytes) continue;
    Answer& answer = free_answer(what == UcxMessage::fetch && region.device() != nullptr);
    answer.header = {self_, request.channel, request.number, 0, 0, 0};
    std::span<std::byte const> bytes;
    if (what == UcxMessage::land) region.land(request.byte, request.bytes);
    else bytes = bytes_to_send(region, request, answer);
    answer.free = false;
    worker_.send(request.from, what == UcxMessage::land ? UcxMessage::landed : UcxMessage::fetched, answer.header, bytes, answer);
  }
  asked_.clear();
}

std::span<std::byte const> UcxFetchServer::bytes_to_send(UcxRegion const& region, UcxHeader const& request, Answer& answer) const {
  if (region.device() == nullptr) return {region.data() + request.byte, request.bytes};
  auto& buffer = answer.from_device;
  if (buffer == nullptr || buffer->bytes().size() < request.bytes) {
    buffer.reset();
    buffer = std::make_unique<PinnedBuffer>(*region.device(), std::bit_ceil(request.bytes));
  }
  auto const bytes = buffer->bytes().first(request.bytes);
  region.copy_out(bytes, request.byte);
  return bytes;
}

UcxFetchServer::Answer& UcxFetchServer::free_answer(bool with_buffer) {
  auto const fits = [&](Answer const& answer) { return answer.free && (answer.from_device != nullptr) == with_buffer; };
  auto const found = std::ranges::find_if(answers_, fits);
  return found != answers_.end() ? *found : answers_.emplace_back();
}

}  // namespace pikv::comm
