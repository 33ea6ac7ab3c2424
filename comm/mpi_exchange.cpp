#include <fmt/format.h>

#include <array>
#include <climits>
#include <exception>
#include <vector>

#include "comm/error.hpp"
#include "comm/framed_exchange.hpp"
#include "comm/mpi_context.hpp"
#include "comm/setup.hpp"

namespace pikv::comm {
namespace {

ExchangeOptions const& fits_mpi(ExchangeOptions const& options) {
  if (options.peer_bytes > INT_MAX - sizeof(FrameHeader))
    throw RunError(fmt::format("a message of exchange '{}' may take {} bytes, more than MPI sends at once (2 GiB); lower --batch or "
                               "--prefill-chunk",
                               options.name, options.peer_bytes));
  return options;
}

/// A receive of the largest frame is always posted per peer, also for the next round, since a fast peer may already send it.
class MpiExchange : public FramedExchange {
 public:
  MpiExchange(MpiWorld& world, ExchangeOptions const& options)
      : MpiExchange{world, options, std::make_shared<FrameBuffers>(world.size(), fits_mpi(options).peer_bytes)} {}
  ~MpiExchange() override;

  std::size_t buffer_bytes() const override { return out_frames_->bytes() + in_frames_->bytes(); }

 private:
  MpiExchange(MpiWorld& world, ExchangeOptions const& options, std::shared_ptr<FrameBuffers> frames);

  void send(Rank to, std::span<std::byte const> frame) override;
  bool all_arrived() override;
  bool has_arrived(Rank from) const override { return arrived_bytes_[static_cast<std::size_t>(from)] > 0; }
  std::span<std::byte const> arrived_frame(Rank from) const override {
    return in_frames_->frame(round(), from).first(arrived_bytes_[static_cast<std::size_t>(from)]);
  }
  void next_round() override;
  void post_receives();
  bool all_sent(std::uint64_t of_round);

  using Requests = std::vector<MPI_Request>;   // [peer]; null for this rank
  MpiWorld& mpi_;
  std::shared_ptr<FrameBuffers> out_frames_;
  std::shared_ptr<FrameBuffers> in_frames_;
  std::array<Requests, 2> sends_;      // [round % 2]
  std::array<Requests, 2> receives_;   // [round % 2], persistent
  std::vector<std::size_t> arrived_bytes_;
  int missing_ = 0;
  std::vector<int> completed_;
  std::vector<MPI_Status> statuses_;
};

MpiExchange::MpiExchange(MpiWorld& world, ExchangeOptions const& options, std::shared_ptr<FrameBuffers> frames)
    : FramedExchange{world, options, frames},
      mpi_{world},
      out_frames_{std::move(frames)},
      in_frames_{std::make_shared<FrameBuffers>(world.size(), options.peer_bytes)} {
  auto const ranks = static_cast<std::size_t>(world.size());
  for (std::uint64_t parity = 0; parity < 2; ++parity) {
    sends_[parity].assign(ranks, MPI_REQUEST_NULL);
    receives_[parity].assign(ranks, MPI_REQUEST_NULL);
    for (Rank from = 0; from < world.size(); ++from) {
      if (from == world.rank()) continue;
      auto const frame = in_frames_->frame(parity, from);
      check_mpi(MPI_Recv_init(frame.data(), static_cast<int>(frame.size()), MPI_BYTE, from, options.channel, world.data_comm(),
                              &receives_[parity][static_cast<std::size_t>(from)]),
                "prepare a receive");
    }
  }
  arrived_bytes_.resize(ranks);
  completed_.resize(ranks);
  statuses_.resize(ranks);
  post_receives();
}

MpiExchange::~MpiExchange() {
  bool const calm = !failed() && std::uncaught_exceptions() == 0;
  auto const sent = [this] { return all_sent(0) && all_sent(1); };
  if (!calm || mpi_.wait(sent, mpi_.in(setup_seconds)) != Status::arrived) mpi_.keep_until_finalize(out_frames_);

  Requests& posted = receives_[round() % 2];
  for (MPI_Request& request : posted)
    if (request != MPI_REQUEST_NULL) MPI_Cancel(&request);
  auto const cancelled = [&] {
    int done = 0;
    MPI_Testall(static_cast<int>(posted.size()), posted.data(), &done, MPI_STATUSES_IGNORE);
    return done != 0;
  };
  constexpr double patience = 1;   // a message that was on its way arrives first
  if (mpi_.wait(cancelled, mpi_.in(patience)) != Status::arrived) mpi_.keep_until_finalize(in_frames_);
  for (Requests& requests : receives_)
    for (MPI_Request& request : requests)
      if (request != MPI_REQUEST_NULL) MPI_Request_free(&request);
}

void MpiExchange::post_receives() {
  missing_ = world().size() - 1;
  arrived_bytes_.assign(arrived_bytes_.size(), 0);
  for (MPI_Request& request : receives_[round() % 2])
    if (request != MPI_REQUEST_NULL) check_mpi(MPI_Start(&request), "post a receive");
}

void MpiExchange::send(Rank to, std::span<std::byte const> frame) {
  check_mpi(MPI_Isend(frame.data(), static_cast<int>(frame.size()), MPI_BYTE, to, options().channel, mpi_.data_comm(),
                      &sends_[round() % 2][static_cast<std::size_t>(to)]),
            "send");
}

bool MpiExchange::all_sent(std::uint64_t of_round) {
  Requests& requests = sends_[of_round % 2];
  int done = 0;
  check_mpi(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE), "complete a send");
  return done != 0;
}

bool MpiExchange::all_arrived() {
  if (missing_ > 0) {
    Requests& requests = receives_[round() % 2];
    int count = 0;
    check_mpi(MPI_Testsome(static_cast<int>(requests.size()), requests.data(), &count, completed_.data(), statuses_.data()), "receive");
    for (int i = 0; i < count; ++i) {
      int bytes = 0;
      check_mpi(MPI_Get_count(&statuses_[static_cast<std::size_t>(i)], MPI_BYTE, &bytes), "tell a message's length");
      arrived_bytes_[static_cast<std::size_t>(completed_[static_cast<std::size_t>(i)])] = static_cast<std::size_t>(bytes);
      --missing_;
    }
  }
  return missing_ == 0 && all_sent(round() + 1);   // the next round writes where the last one was sent from
}

void MpiExchange::next_round() { post_receives(); }

}  // namespace

std::unique_ptr<Exchange> make_mpi_exchange(MpiWorld& world, ExchangeOptions const& options) {
  return std::make_unique<MpiExchange>(world, options);
}

}  // namespace pikv::comm
