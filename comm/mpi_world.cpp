#include "comm/mpi_world.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <thread>

#include "comm/cores.hpp"
#include "comm/error.hpp"
#include "comm/mpi_context.hpp"
#include "comm/setup.hpp"

namespace pikv::comm {
namespace {

MPI_Comm duplicate_of_world() {
  MPI_Comm made = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &made), "make a communicator");
  check_mpi(MPI_Comm_set_errhandler(made, MPI_ERRORS_RETURN), "set an error handler");
  return made;
}

int lowest_rank_of_host(MPI_Comm comm) {
  MPI_Comm host = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host), "find the ranks of this host");
  int lowest = 0;
  check_mpi(MPI_Comm_rank(comm, &lowest), "tell the rank");
  check_mpi(MPI_Bcast(&lowest, 1, MPI_INT, 0, host), "find the ranks of this host");
  check_mpi(MPI_Comm_free(&host), "free a communicator");
  return lowest;
}

}  // namespace

void check_mpi(int code, char const* what) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw RunError(fmt::format("MPI could not {}: {}; see MPI's own messages above", what, text.data()));
}

MpiWorld::MpiWorld(WorldOptions const& options) {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized == 0) {
    int level = 0;
    check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level), "start");
    if (level < MPI_THREAD_FUNNELED) throw RunError("this MPI allows no threads beside its own; install one that offers MPI_THREAD_FUNNELED");
    finalize_ = true;
  }
  start_ = MPI_Wtime();
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  if (size_ == 1 && launched_ranks() > 1)
    throw InputError(fmt::format("this process was started as one of {}, but MPI finds no other; use the mpirun of this MPI ({}), or srun --mpi=pmix",
                                 launched_ranks(), mpi_version()));
  setup_comm_ = duplicate_of_world();
  data_comm_ = duplicate_of_world();
  learn_hosts();
  auto const ranks_here = std::ranges::count(hosts_, host(rank_));
  yields_ = ranks_here * options.threads_per_rank >= usable_cores();
}

MpiWorld::~MpiWorld() {
  if (std::uncaught_exceptions() > 0) return;   // the others may never come to a collective call
  Watchdog::Alarm const alarm{watchdog_, rank_, "the end of MPI (MPI_Finalize)", setup_seconds};
  MPI_Comm_free(&setup_comm_);
  MPI_Comm_free(&data_comm_);
  if (finalize_) MPI_Finalize();
}

void MpiWorld::learn_hosts() {
  struct Place {
    int lowest_rank = 0;
    std::array<char, MPI_MAX_PROCESSOR_NAME> name{};
  } mine;
  int length = 0;
  MPI_Get_processor_name(mine.name.data(), &length);
  mine.lowest_rank = lowest_rank_of_host(setup_comm_);
  std::vector<int> lowest_ranks;   // of the hosts seen so far: a host's number is its place here
  for (Bytes const& theirs : all_gather(std::as_bytes(std::span{&mine, 1}), in(setup_seconds))) {
    Place place;
    std::memcpy(&place, theirs.data(), sizeof place);
    auto const known = std::ranges::find(lowest_ranks, place.lowest_rank);
    hosts_.push_back(static_cast<int>(known - lowest_ranks.begin()));
    host_names_.emplace_back(place.name.data());
    if (known == lowest_ranks.end()) lowest_ranks.push_back(place.lowest_rank);
  }
}

Status MpiWorld::wait(FunctionRef<bool()> ready, Deadline deadline) {
  constexpr int patience = 2000;   // polls before the core is yielded even where every rank has one
  for (int polls = 0;; ++polls) {
    if (ready()) return Status::arrived;
    if (now() >= deadline.at) return Status::timeout;
    int unused = 0;
    check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, setup_comm_, &unused, MPI_STATUS_IGNORE), "make progress");
    if (yields_ || polls >= patience) ::sched_yield();
  }
}

std::vector<Bytes> MpiWorld::all_gather(std::span<std::byte const> mine, Deadline deadline) {
  if (mine.size() > INT_MAX) throw RunError(fmt::format("{} bytes of set-up data are more than MPI sends at once (2 GiB)", mine.size()));
  constexpr int tags = 32768;   // every MPI has as many
  int const tag = static_cast<int>(gathers_++ % tags);
  auto const ranks = static_cast<std::size_t>(size_);
  std::vector<Bytes> all(ranks);
  all[static_cast<std::size_t>(rank_)].assign(mine.begin(), mine.end());
  std::vector<MPI_Request> sends(ranks, MPI_REQUEST_NULL), receives(ranks, MPI_REQUEST_NULL);
  std::vector<Rank> unseen;
  for (Rank to = 0; to < size_; ++to) {
    if (to == rank_) continue;
    unseen.push_back(to);
    check_mpi(MPI_Isend(mine.data(), static_cast<int>(mine.size()), MPI_BYTE, to, tag, setup_comm_, &sends[static_cast<std::size_t>(to)]),
              "send");
  }
  auto const begin_receive = [&](Rank from) {
    int found = 0;
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status status;
    check_mpi(MPI_Improbe(from, tag, setup_comm_, &found, &message, &status), "look for a message");
    if (found == 0) return false;
    int bytes = 0;
    check_mpi(MPI_Get_count(&status, MPI_BYTE, &bytes), "tell a message's length");
    Bytes& theirs = all[static_cast<std::size_t>(from)];
    theirs.resize(static_cast<std::size_t>(bytes));
    check_mpi(MPI_Imrecv(theirs.data(), bytes, MPI_BYTE, &message, &receives[static_cast<std::size_t>(from)]), "receive");
    return true;
  };
  auto const all_done = [&](std::vector<MPI_Request>& requests) {
    int done = 0;
    check_mpi(MPI_Testall(size_, requests.data(), &done, MPI_STATUSES_IGNORE), "complete a message");
    return done != 0;
  };
  auto const complete = [&] {
    std::erase_if(unseen, begin_receive);
    bool const received = all_done(receives);
    return all_done(sends) && received && unseen.empty();
  };
  Status const status = wait(complete, deadline);
  if (status == Status::arrived) return all;
  if (status == Status::peer_gone) throw RunError(gone_ranks_sentence(*this));
  for (Rank r = 0; r < size_ && unseen.empty(); ++r) {
    bool const pending = sends[static_cast<std::size_t>(r)] != MPI_REQUEST_NULL || receives[static_cast<std::size_t>(r)] != MPI_REQUEST_NULL;
    if (pending) unseen.push_back(r);
  }
  throw RunError(missing_ranks_sentence(unseen));
}

std::unique_ptr<Exchange> MpiWorld::make_exchange(ExchangeOptions const& options) { return make_mpi_exchange(*this, options); }
std::unique_ptr<Transport> MpiWorld::make_transport() { return make_mpi_transport(*this); }

std::unique_ptr<World::Guard> MpiWorld::guard(char const* what, double seconds) {
  return std::make_unique<Watchdog::Alarm>(watchdog_, rank_, what, seconds);
}

void MpiWorld::abort(int code, std::string const& sentence) {
  // Trouble that all ranks see at once (a silent peer) is said by one: the lowest; its MPI_Abort ends the others before their turn.
  std::this_thread::sleep_for(std::chrono::milliseconds{300} * std::min(rank_, 10));
  std::fflush(stdout);
  std::fputs(fmt::format("pikv: error: rank {}: {}\n", rank_, sentence).c_str(), stderr);
  std::fflush(stderr);
  std::thread{[code] {   // MPI_Abort was seen to wait for long on a host that is cut off
    std::this_thread::sleep_for(std::chrono::seconds{3});
    std::_Exit(code);
  }}.detach();
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}

std::unique_ptr<World> make_mpi_world(WorldOptions const& options) { return std::make_unique<MpiWorld>(options); }

}  // namespace pikv::comm
