#include "comm/ucx_worker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include "comm/error.hpp"
#include "comm/setup.hpp"

namespace pikv::comm {
namespace {

// Settings that UCX reads when it starts; what the user set stays. Shared memory serves endpoints that report failures only if told so,
// and UCX warns of this where UCX_TLS leaves it out. TCP sends 8 KiB at a time by default: 64 KiB doubled the speed of a push.
void set_up_transports() {
  std::string_view const only = std::getenv("UCX_TLS") != nullptr ? std::getenv("UCX_TLS") : "all";
  auto const in_use = [&](std::initializer_list<std::string_view> names) {
    return only.starts_with('^') || std::ranges::any_of(names, [&](std::string_view name) { return only.find(name) != std::string_view::npos; });
  };
  if (in_use({"all", "sm", "shm", "posix"})) ::setenv("UCX_POSIX_ERROR_HANDLING", "y", 0);
  if (in_use({"all", "sm", "shm", "sysv"})) ::setenv("UCX_SYSV_ERROR_HANDLING", "y", 0);
  if (in_use({"all", "tcp"}) && std::getenv("UCX_TCP_RX_SEG_SIZE") == nullptr) ::setenv("UCX_TCP_TX_SEG_SIZE", "64k", 0);
}

ucp_context_h make_context() {
  set_up_transports();
  ucp_config_t* config = nullptr;
  check_ucx(ucp_config_read(nullptr, nullptr, &config), "read its settings (UCX_...)");
  ucp_params_t params{};
  params.field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_MT_WORKERS_SHARED;
  params.mt_workers_shared = 1;   // memory is registered beside the progress thread
  params.features = UCP_FEATURE_RMA | UCP_FEATURE_AMO64 | UCP_FEATURE_AM;
  ucp_context_h context = nullptr;
  ucs_status_t const status = ucp_init(&params, config, &context);
  ucp_config_release(config);
  check_ucx(status, "start; try --transport mpi, or check the UCX_ variables of the environment");
  return context;
}

ucp_worker_h make_worker(ucp_context_h context) {
  ucp_worker_params_t params{};
  params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  params.thread_mode = UCS_THREAD_MODE_SERIALIZED;
  ucp_worker_h worker = nullptr;
  check_ucx(ucp_worker_create(context, &params, &worker), "make a worker");
  return worker;
}

// The names of an endpoint's lanes are offered as a print-out alone: lines "# lane[0]: 2:tcp/eth0.0 md[1] -> ...".
std::set<std::string> lanes_of(ucp_ep_h endpoint) {
  char* text = nullptr;
  std::size_t bytes = 0;
  std::FILE* const out = ::open_memstream(&text, &bytes);
  if (out == nullptr) throw RunError("no memory for the description of a connection");
  ucp_ep_print_info(endpoint, out);
  std::fclose(out);
  std::istringstream lines{std::string{text, bytes}};
  std::free(text);
  std::set<std::string> lanes;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("lane[") == std::string::npos) continue;
    std::istringstream words{line};
    std::string word;
    while (words >> word && word.find('/') == std::string::npos) {}
    auto const name = word.substr(word.find(':') + 1);
    lanes.insert(name.substr(0, name.rfind('.')));
  }
  return lanes;
}

void sent(void* request, ucs_status_t status, void* completion) {
  ucp_request_free(request);
  static_cast<UcxCompletion*>(completion)->done(status);
}

void received(void* request, ucs_status_t status, std::size_t, void* completion) { sent(request, status, completion); }

}  // namespace

void check_ucx(ucs_status_t status, char const* what) {
  if (status != UCS_OK && status != UCS_INPROGRESS) throw RunError(fmt::format("UCX could not {}: {}", what, ucs_status_string(status)));
}

UcxWorker::UcxWorker(World& world)
    : world_{world}, context_{make_context()}, worker_{make_worker(context_)}, peers_(static_cast<std::size_t>(world.size())) {
  for (unsigned id = 0; id < slots_.size(); ++id) {
    slots_[id].worker = this;
    ucp_am_handler_param_t params{};
    params.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG;
    params.id = id;
    params.cb = arrived;
    params.arg = &slots_[id];
    check_ucx(ucp_worker_set_am_recv_handler(worker_, &params), "register a message handler");
  }
  exchange_addresses();
}

UcxWorker::~UcxWorker() {
  if (frozen_) return;
  close_endpoints();
  ucp_worker_destroy(worker_);
  ucp_cleanup(context_);
}

bool UcxWorker::reaches_cuda() const {
  ucp_context_attr_t attributes{};
  attributes.field_mask = UCP_ATTR_FIELD_MEMORY_TYPES;
  check_ucx(ucp_context_query(context_, &attributes), "tell which kinds of memory it reaches");
  return (attributes.memory_types & std::uint64_t{1} << UCS_MEMORY_TYPE_CUDA) != 0;
}

void UcxWorker::close_endpoints() {
  Lock const lock{mutex_};
  for (Peer& peer : peers_) {
    if (peer.endpoint == nullptr) continue;
    ucp_request_param_t params{};
    params.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
    params.flags = UCP_EP_CLOSE_FLAG_FORCE;   // after the last barrier nothing is under way
    ucs_status_ptr_t const request = ucp_ep_close_nbx(peer.endpoint, &params);
    if (!UCS_PTR_IS_PTR(request)) continue;
    while (ucp_request_check_status(request) == UCS_INPROGRESS) ucp_worker_progress(worker_);
    ucp_request_free(request);
  }
}

void UcxWorker::exchange_addresses() {
  ucp_address_t* address = nullptr;
  std::size_t bytes = 0;
  check_ucx(ucp_worker_get_address(worker_, &address, &bytes), "tell its address");
  auto const all = world_.all_gather({reinterpret_cast<std::byte const*>(address), bytes}, world_.in(setup_seconds));
  ucp_worker_release_address(worker_, address);
  for (Rank rank = 0; rank < world_.size(); ++rank) {
    Peer& peer = peers_[static_cast<std::size_t>(rank)];
    peer.worker = this;
    peer.rank = rank;
    peer.address = all[static_cast<std::size_t>(rank)];
    peer.heard = Clock::now();
  }
}

ucp_ep_h UcxWorker::endpoint(Rank to) {
  Peer& peer = peers_[static_cast<std::size_t>(to)];
  if (peer.endpoint != nullptr) return peer.endpoint;
  ucp_ep_params_t params{};
  params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE | UCP_EP_PARAM_FIELD_ERR_HANDLER;
  params.address = reinterpret_cast<ucp_address_t const*>(peer.address.data());
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler = {failed, &peer};
  auto const what = fmt::format("reach rank {} ({}); see UCX_TLS and UCX_NET_DEVICES, or try --transport mpi", to, world_.host_name(to));
  check_ucx(ucp_ep_create(worker_, &params, &peer.endpoint), what.c_str());
  peer.lanes = lanes_of(peer.endpoint);
  peer.one_sided = std::ranges::any_of(peer.lanes, [](std::string const& lane) { return !lane.starts_with("tcp/") && !lane.starts_with("ud_"); });
  return peer.endpoint;
}

std::set<std::string> const& UcxWorker::lanes(Rank to) {
  (void)endpoint(to);
  return peers_[static_cast<std::size_t>(to)].lanes;
}

void UcxWorker::on(UcxMessage id, int channel, Handler handler) {
  Lock const lock{mutex_};
  bool const free = slots_[static_cast<std::size_t>(id)].handlers.try_emplace(channel, std::move(handler)).second;
  if (!free) throw std::logic_error("two exchanges or transports on one channel");
}

void UcxWorker::no_longer_on(UcxMessage id, int channel) {
  Lock const lock{mutex_};
  slots_[static_cast<std::size_t>(id)].handlers.erase(channel);
}

int UcxWorker::after_progress(std::function<void()> action) {
  Lock const lock{mutex_};
  actions_.push_back(std::move(action));
  return static_cast<int>(actions_.size()) - 1;
}

void UcxWorker::forget(int key) {
  Lock const lock{mutex_};
  actions_[static_cast<std::size_t>(key)] = nullptr;
}

void UcxWorker::progress() {
  Lock const lock{mutex_};
  progress_locked();
}

void UcxWorker::progress_locked() {
  if (frozen_) return;
  rounds_.fetch_add(1, std::memory_order_relaxed);
  constexpr int most_events = 64;   // then others get the lock
  for (int i = 0; i < most_events && ucp_worker_progress(worker_) != 0; ++i) {}
  for (auto const& action : actions_)
    if (action) action();
}

ucp_request_param_t UcxWorker::completes(UcxCompletion& completion) {
  ucp_request_param_t params{};
  params.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  params.cb.send = sent;
  params.user_data = &completion;
  return params;
}

void UcxWorker::settle(ucs_status_ptr_t request, UcxCompletion& completion) {
  if (request == nullptr) completion.done(UCS_OK);
  else if (UCS_PTR_IS_ERR(request)) completion.done(UCS_PTR_STATUS(request));
}

void UcxWorker::send(Rank to, UcxMessage id, UcxHeader const& header, std::span<std::byte const> data, UcxCompletion& completion) {
  auto const params = completes(completion);
  settle(ucp_am_send_nbx(endpoint(to), static_cast<unsigned>(id), &header, sizeof header, data.data(), data.size(), &params), completion);
}

void UcxWorker::receive(UcxArrival const& arrival, std::span<std::byte> into, UcxCompletion& completion) {
  auto params = completes(completion);
  params.cb.recv_am = received;
  settle(ucp_am_recv_data_nbx(worker_, arrival.data, into.data(), arrival.bytes, &params), completion);
}

ucs_status_t UcxWorker::arrived(void* at, void const* header_at, std::size_t header_bytes, void* data, std::size_t bytes,
                                ucp_am_recv_param_t const* param) {
  auto& slot = *static_cast<Slot*>(at);
  UcxHeader header;
  if (header_bytes != sizeof header) return UCS_OK;   // not ours
  std::memcpy(&header, header_at, sizeof header);
  auto& peers = slot.worker->peers_;
  if (header.from < 0 || header.from >= static_cast<Rank>(peers.size())) return UCS_OK;
  peers[static_cast<std::size_t>(header.from)].heard = Clock::now();
  bool const at_sender = (param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) != 0;
  if (auto const found = slot.handlers.find(header.channel); found != slot.handlers.end()) found->second({header, data, bytes, at_sender});
  return UCS_OK;   // what is still at the sender and was not asked for by receive() is dropped
}

void UcxWorker::failed(void* at, ucp_ep_h, ucs_status_t) {
  auto& peer = *static_cast<Peer*>(at);
  if (!peer.worker->ending_) peer.worker->mark_gone(peer.rank);
}

void UcxWorker::mark_gone(Rank rank) {
  peers_[static_cast<std::size_t>(rank)].gone = true;
  any_gone_ = true;
}

}  // namespace pikv::comm
