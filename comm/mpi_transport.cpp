#include <fmt/format.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <exception>
#include <vector>

#include "comm/checked_transport.hpp"
#include "comm/error.hpp"
#include "comm/mpi_context.hpp"
#include "comm/op_slots.hpp"
#include "comm/setup.hpp"

namespace pikv::comm {
namespace {

int mpi_count(std::size_t bytes) {
  if (bytes > INT_MAX) throw RunError(fmt::format("a transfer of {} bytes is more than MPI moves at once (2 GiB); use smaller pages", bytes));
  return static_cast<int>(bytes);
}

/// A window per region, locked by everyone for as long as it lives. Transfers with itself are copies.
class MpiTransport : public CheckedTransport {
 public:
  explicit MpiTransport(MpiWorld& world) : CheckedTransport{world}, mpi_{world} {}
  ~MpiTransport() override;
  MpiTransport(MpiTransport const&) = delete;   // owns windows

  std::string_view name() const override { return "mpi"; }
  Region allocate(std::size_t bytes, Space space) override;
  Op put(Rank to, Offset at, std::span<std::byte const> bytes) override;
  Op get(Rank from, Offset at, std::span<std::byte> into) override;
  Op flush(Rank to) override;
  Op fetch_add(Rank to, Offset at, std::uint64_t add, std::uint64_t* before) override;
  void poll() override;
  bool test(Op op) override;
  Status wait(Op op, Deadline deadline) override;

 private:
  static constexpr Rank nobody = -1;
  struct State {
    MPI_Request request = MPI_REQUEST_NULL;
    Rank to_flush = nobody;
    std::uint64_t add = 0;
  };
  struct Window {
    MPI_Win handle = MPI_WIN_NULL;
    std::byte* own = nullptr;
    std::vector<bool> dirty;   // [rank] was put to since its last flush
  };
  Window& window(Offset at) { return windows_[at.region]; }
  void flush_now(State& state, double seconds);

  MpiWorld& mpi_;
  std::vector<Window> windows_;
  OpSlots<State> ops_;
  std::vector<Op> abandoned_;   // timed out; MPI still works on them
};

MpiTransport::~MpiTransport() {
  if (std::uncaught_exceptions() > 0) return;   // the others may never come to a collective call
  Watchdog::Alarm const alarm{mpi_.watchdog(), mpi_.rank(), "the release of remote memory (MPI_Win_free)", setup_seconds};
  for (Window& window : windows_) {
    MPI_Win_unlock_all(window.handle);
    MPI_Win_free(&window.handle);
  }
}

Region MpiTransport::allocate(std::size_t bytes, Space space) {
  if (space == Space::device) throw InputError("the mpi transport has no device memory; allocate host memory, or choose --transport ucx");
  Window made;
  made.dirty.resize(static_cast<std::size_t>(mpi_.size()));
  {
    Watchdog::Alarm const alarm{mpi_.watchdog(), mpi_.rank(), "the allocation of remote memory (MPI_Win_allocate)", setup_seconds};
    auto const what = fmt::format("allocate {} bytes of remote memory{}", bytes,
                                  mpi_.hosts() > 1 ? " (between hosts over TCP it needs OMPI_MCA_osc=^ucx in the environment)" : "");
    check_mpi(MPI_Win_allocate(static_cast<MPI_Aint>(bytes), 1, MPI_INFO_NULL, mpi_.data_comm(), &made.own, &made.handle), what.c_str());
    check_mpi(MPI_Win_set_errhandler(made.handle, MPI_ERRORS_RETURN), "set an error handler");
    check_mpi(MPI_Win_lock_all(MPI_MODE_NOCHECK, made.handle), "lock a window");
  }
  if (bytes > 0) std::memset(made.own, 0, bytes);
  check_mpi(MPI_Win_sync(made.handle), "synchronise a window");
  windows_.push_back(std::move(made));
  std::byte* const own = windows_.back().own;
  return {agree_on_region(bytes), own, bytes};
}

Op MpiTransport::put(Rank to, Offset at, std::span<std::byte const> bytes) {
  check_put(to, at, bytes.size());
  if (bytes.empty()) return ops_.take({});
  Window& into = window(at);
  if (to == mpi_.rank()) {
    std::memcpy(into.own + at.byte, bytes.data(), bytes.size());
    return ops_.take({});
  }
  Op const op = ops_.take({});
  into.dirty[static_cast<std::size_t>(to)] = true;
  int const count = mpi_count(bytes.size());
  check_mpi(MPI_Rput(bytes.data(), count, MPI_BYTE, to, static_cast<MPI_Aint>(at.byte), count, MPI_BYTE, into.handle, &ops_.at(op).request),
            "put");
  return op;
}

Op MpiTransport::get(Rank from, Offset at, std::span<std::byte> into) {
  check_get(from, at, into.size());
  if (into.empty()) return ops_.take({});
  Window& out_of = window(at);
  if (from == mpi_.rank()) {
    check_mpi(MPI_Win_sync(out_of.handle), "synchronise a window");
    std::memcpy(into.data(), out_of.own + at.byte, into.size());
    return ops_.take({});
  }
  Op const op = ops_.take({});
  int const count = mpi_count(into.size());
  check_mpi(MPI_Rget(into.data(), count, MPI_BYTE, from, static_cast<MPI_Aint>(at.byte), count, MPI_BYTE, out_of.handle, &ops_.at(op).request),
            "get");
  return op;
}

Op MpiTransport::flush(Rank to) {
  count_flush();
  return ops_.take({MPI_REQUEST_NULL, to, 0});
}

Op MpiTransport::fetch_add(Rank to, Offset at, std::uint64_t add, std::uint64_t* before) {
  check_atomic(to, at);
  Op const op = ops_.take({MPI_REQUEST_NULL, nobody, add});
  State& state = ops_.at(op);
  check_mpi(MPI_Rget_accumulate(&state.add, 1, MPI_UINT64_T, before, 1, MPI_UINT64_T, to, static_cast<MPI_Aint>(at.byte), 1, MPI_UINT64_T,
                                MPI_SUM, window(at).handle, &state.request),
            "add");
  return op;
}

void MpiTransport::poll() {
  for (Window const& own : windows_) check_mpi(MPI_Win_sync(own.handle), "synchronise a window");
  std::erase_if(abandoned_, [this](Op op) {
    if (!test(op)) return false;
    ops_.release(op);
    return true;
  });
}

bool MpiTransport::test(Op op) {
  State& state = ops_.at(op);
  if (state.to_flush != nobody) flush_now(state, setup_seconds);
  int done = 0;
  check_mpi(MPI_Test(&state.request, &done, MPI_STATUS_IGNORE), "complete a transfer");
  return done != 0;
}

Status MpiTransport::wait(Op op, Deadline deadline) {
  State& state = ops_.at(op);
  constexpr double least_seconds = 1;   // a flush that does end is not given up although its deadline is near
  if (state.to_flush != nobody) flush_now(state, std::max(least_seconds, deadline.at - mpi_.now()));
  Status const status = mpi_.wait([&] { return test(op); }, deadline);
  if (status == Status::arrived) ops_.release(op);
  else abandoned_.push_back(op);
  return status;
}

void MpiTransport::flush_now(State& state, double seconds) {
  Rank const to = std::exchange(state.to_flush, nobody);
  Watchdog::Alarm const alarm{mpi_.watchdog(), mpi_.rank(), "a flush of pages put to another rank (MPI_Win_flush)", seconds};
  for (Window& window : windows_) {
    if (!window.dirty[static_cast<std::size_t>(to)]) continue;
    check_mpi(MPI_Win_flush(to, window.handle), "flush");
    window.dirty[static_cast<std::size_t>(to)] = false;
  }
}

}  // namespace

std::unique_ptr<Transport> make_mpi_transport(MpiWorld& world) { return std::make_unique<MpiTransport>(world); }

}  // namespace pikv::comm
