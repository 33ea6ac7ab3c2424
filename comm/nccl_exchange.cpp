#include "comm/nccl_exchange.hpp"

#include <algorithm>
#include <cstring>
#include <exception>
#include <vector>

#include "comm/checksum.hpp"
#include "comm/framed_exchange.hpp"

namespace pikv::comm {
namespace {

/// What a parcel begins with. Its own check tells a damaged one from a frame that is: a wrong length would make the second group unequal.
struct Label {
  std::uint64_t round = 0;
  std::uint64_t frame_bytes = 0;   // 0: no message comes in this round (a fault was injected)
  std::uint64_t channel = 0;
  std::uint64_t check = 0;
};

std::uint64_t check_of(Label const& label) { return checksum(std::as_bytes(std::span{&label, 1}).first(offsetof(Label, check))); }

std::size_t first_bytes_of(ExchangeOptions const& options) { return std::min(nccl_parcel_bytes, sizeof(FrameHeader) + options.peer_bytes); }
std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

/// Where what belongs to a peer begins in a buffer of equal parts.
struct Parts {
  std::size_t stride;
  std::size_t bytes(World const& world) const { return stride * static_cast<std::size_t>(world.size()); }
  std::byte* of(std::span<std::byte> buffer, Rank peer) const { return buffer.data() + stride * static_cast<std::size_t>(peer); }
};

/// Frames outlive the exchange's own hold on the session.
struct PinnedFrames {
  PinnedFrames(std::shared_ptr<NcclSession> const& of, std::size_t bytes) : session{of}, memory{*session, bytes} {}
  std::shared_ptr<NcclSession> session;
  NcclHostBuffer memory;
};

std::shared_ptr<FrameBuffers> pinned_frames(std::shared_ptr<NcclSession> const& session, std::size_t peer_bytes) {
  int const peers = session->world().size();
  auto const pinned = std::make_shared<PinnedFrames>(session, FrameBuffers::bytes_for(peers, peer_bytes));
  return std::make_shared<FrameBuffers>(peers, peer_bytes, std::shared_ptr<std::byte[]>{pinned, pinned->memory.bytes().data()});
}

class NcclExchange : public FramedExchange, private NcclSession::Round {
 public:
  NcclExchange(std::shared_ptr<NcclSession> session, ExchangeOptions const& options);
  ~NcclExchange() override { session_->give_up(*this); }
  NcclExchange(NcclExchange const&) = delete;   // the session refers to it

  std::size_t buffer_bytes() const override {
    return out().bytes() + 4 * parcels_.bytes(world()) + 2 * rests_.bytes(world()) + frames_.bytes(world());
  }

 private:
  enum class Stage { parcels, rests, over };

  void send(Rank to, std::span<std::byte const> frame) override { sent_[static_cast<std::size_t>(to)] = frame; }
  void all_given() override;
  bool all_arrived() override;
  bool has_arrived(Rank from) const override;
  std::span<std::byte const> arrived_frame(Rank from) const override { return {frames_.of(frames_in_.bytes(), from), came_[static_cast<std::size_t>(from)].bytes}; }
  void give_up() override;
  void next_round() override { came_.assign(came_.size(), {}); }

  void post(NcclDevice& device) override;
  void collect(NcclDevice& device) override;
  bool take() override;
  void post_parcels(NcclDevice& device);
  void post_rests(NcclDevice& device);
  void open_parcel(Rank from);
  std::span<std::byte const> rest_to(Rank to) const {
    auto const frame = sent_[static_cast<std::size_t>(to)];
    return frame.subspan(std::min(frame.size(), first_bytes_));
  }
  std::span<std::byte> rest_from(Rank from) const {
    auto const bytes = came_[static_cast<std::size_t>(from)].bytes;
    return {frames_.of(frames_in_.bytes(), from) + first_bytes_, bytes - std::min(bytes, first_bytes_)};
  }
  template <typename Action>
  void for_each_peer(Action action) const {
    for (Rank peer = 0; peer < world().size(); ++peer)
      if (peer != world().rank()) action(peer);
  }

  struct Came {
    bool here = false;
    std::size_t bytes = 0;   // of the frame; 0 if what came is no parcel of this round: an empty frame fails its check
  };
  std::shared_ptr<NcclSession> session_;
  std::size_t first_bytes_;
  Parts parcels_, rests_, frames_;
  NcclHostBuffer parcels_out_, parcels_in_, frames_in_;
  NcclBuffer device_parcels_out_, device_parcels_in_, device_rests_out_, device_rests_in_;
  std::vector<std::span<std::byte const>> sent_;   // [peer]
  std::vector<Came> came_;                         // [peer]
  std::vector<NcclTransfer> sends_, receives_;
  Stage stage_ = Stage::over;
  bool giving_up_ = false, rests_due_ = false;   // the latter: when it was given up, the second group had been queued
};

NcclExchange::NcclExchange(std::shared_ptr<NcclSession> session, ExchangeOptions const& options)
    : FramedExchange{session->world(), options, pinned_frames(session, options.peer_bytes)},
      session_{std::move(session)},
      first_bytes_{first_bytes_of(options)},
      parcels_{aligned(sizeof(Label) + first_bytes_)},
      rests_{aligned(sizeof(FrameHeader) + options.peer_bytes - first_bytes_ + 1)},
      frames_{aligned(sizeof(FrameHeader) + options.peer_bytes)},
      parcels_out_{*session_, parcels_.bytes(world())},
      parcels_in_{*session_, parcels_.bytes(world())},
      frames_in_{*session_, frames_.bytes(world())},
      device_parcels_out_{*session_, parcels_.bytes(world())},
      device_parcels_in_{*session_, parcels_.bytes(world())},
      device_rests_out_{*session_, rests_.bytes(world())},
      device_rests_in_{*session_, rests_.bytes(world())},
      sent_(static_cast<std::size_t>(world().size())),
      came_(static_cast<std::size_t>(world().size())) {
  sends_.reserve(sent_.size());
  receives_.reserve(sent_.size());
}

void NcclExchange::all_given() {
  stage_ = Stage::parcels;
  session_->begin(*this);
}

bool NcclExchange::all_arrived() {
  session_->progress();
  bool all = stage_ == Stage::over;
  for_each_peer([&](Rank from) { all = all && came_[static_cast<std::size_t>(from)].here; });
  return all;
}

bool NcclExchange::has_arrived(Rank from) const {
  if (!came_[static_cast<std::size_t>(from)].here) return false;
  return !rests_due_ || rest_from(from).empty() || open_frame(arrived_frame(from), round()).has_value();
}

void NcclExchange::give_up() {
  giving_up_ = stage_ != Stage::over;
  rests_due_ = stage_ == Stage::rests;   // before the session takes what has come
  session_->give_up(*this);
}

void NcclExchange::post(NcclDevice& device) {
  sends_.clear();
  receives_.clear();
  if (stage_ == Stage::parcels) post_parcels(device);
  else post_rests(device);
  device.transfer(sends_, receives_);
}

void NcclExchange::post_parcels(NcclDevice& device) {
  for_each_peer([&](Rank peer) {
    auto const frame = sent_[static_cast<std::size_t>(peer)];
    Label label{round(), frame.size(), static_cast<std::uint64_t>(options().channel), 0};
    label.check = check_of(label);
    std::byte* const parcel = parcels_.of(parcels_out_.bytes(), peer);
    std::memcpy(parcel, &label, sizeof label);
    if (!frame.empty()) std::memcpy(parcel + sizeof label, frame.data(), std::min(frame.size(), first_bytes_));
    sends_.push_back({peer, parcels_.of(device_parcels_out_.bytes(), peer), parcels_.stride});
    receives_.push_back({peer, parcels_.of(device_parcels_in_.bytes(), peer), parcels_.stride});
  });
  device.copy_in(device_parcels_out_.bytes().data(), parcels_out_.bytes());
}

void NcclExchange::post_rests(NcclDevice& device) {
  for_each_peer([&](Rank peer) {
    if (auto const rest = rest_to(peer); !rest.empty()) {
      std::byte* const at = rests_.of(device_rests_out_.bytes(), peer);
      device.copy_in(at, rest);
      sends_.push_back({peer, at, rest.size()});
    }
    if (auto const rest = rest_from(peer); !rest.empty()) receives_.push_back({peer, rests_.of(device_rests_in_.bytes(), peer), rest.size()});
  });
}

void NcclExchange::collect(NcclDevice& device) {
  if (stage_ == Stage::parcels) return device.copy_out(parcels_in_.bytes(), device_parcels_in_.bytes().data());
  for (auto const& [peer, at, bytes] : receives_) device.copy_out(rest_from(peer), at);
}

bool NcclExchange::take() {
  bool more = false;
  if (stage_ == Stage::parcels) {
    for_each_peer([&](Rank peer) {
      open_parcel(peer);
      more = more || !rest_to(peer).empty() || !rest_from(peer).empty();
    });
  }
  stage_ = more ? Stage::rests : Stage::over;
  if (!more) std::ranges::fill(sent_, std::span<std::byte const>{});
  return !more;
}

void NcclExchange::open_parcel(Rank from) {
  std::byte const* const parcel = parcels_.of(parcels_in_.bytes(), from);
  Label label;
  std::memcpy(&label, parcel, sizeof label);
  Came& came = came_[static_cast<std::size_t>(from)];
  bool const of_this_round = label.check == check_of(label) && label.round == round() && label.channel == static_cast<std::uint64_t>(options().channel);
  if (!of_this_round || label.frame_bytes > sizeof(FrameHeader) + options().peer_bytes) {
    came.here = !giving_up_;   // what an earlier round left is not damage where this one's did not come
    return;
  }
  came.here = label.frame_bytes > 0;
  came.bytes = label.frame_bytes;
  std::memcpy(frames_.of(frames_in_.bytes(), from), parcel + sizeof label, std::min(came.bytes, first_bytes_));
}

}  // namespace

std::unique_ptr<Exchange> make_nccl_exchange(std::shared_ptr<NcclSession> session, ExchangeOptions const& options) {
  return std::make_unique<NcclExchange>(std::move(session), options);
}

}  // namespace pikv::comm
