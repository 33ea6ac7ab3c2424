#pragma once

#include <memory>

#include "comm/exchange.hpp"
#include "comm/nccl_session.hpp"

namespace pikv::comm {

/// Frames over NCCL, which wants equal sizes at both ends while only the sender knows a message's. A round is one group in which every rank
/// sends every rank a parcel of fixed size, which holds the message's length and its first `nccl_parcel_bytes`; then, for the pairs whose
/// messages are longer, which both ends now know, a second group with the rest. Messages are built and read in pinned host memory: each of their
/// bytes is copied to the GPU before it is sent and from the GPU after it has come.
/// Exchanges of a session are started in the same order on every rank.
std::unique_ptr<Exchange> make_nccl_exchange(std::shared_ptr<NcclSession> session, ExchangeOptions const& options);

inline constexpr std::size_t nccl_parcel_bytes = 8192;

}  // namespace pikv::comm
