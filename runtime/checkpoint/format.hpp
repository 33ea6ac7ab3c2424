#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/attributes.hpp"
#include "runtime/hdf5/row_type.hpp"
#include "runtime/request.hpp"
#include "runtime/trace_rows.hpp"
#include "shards/page.hpp"

namespace pikv::runtime {

/// A checkpoint is one HDF5 file; docs/checkpoint.md has its schema, reader.cpp and writer.cpp are the places that read and write it.
inline constexpr std::int64_t checkpoint_format = 2;   // 1 had pages of one length

enum class Phase { waiting, running, done };
char const* to_string(Phase phase);

/// A page that a policy has evicted. `layer`: as in PageRow.
struct EvictedPage {
  std::int32_t layer = 0, block = 0;
  friend bool operator==(EvictedPage const&, EvictedPage const&) = default;
};

/// A request as a checkpoint holds it: what was asked, and how far it is.
struct SavedRequest {
  Request request;
  Phase phase = Phase::waiting;
  Result result;              // running: tokens so far; done: all
  shards::StreamId stream{};  // running: under which its pages are keyed
  std::int64_t length = 0;    // running: tokens whose keys and values are in pages
  std::string policy{};       // running: the state of its policies (CacheManager::save); empty without any
  std::vector<EvictedPage> evicted{};   // running
};

/// A row of /requests: numbers, and where in /tokens (prompt, then generated) and /text the rest is.
struct RequestRow {
  std::int64_t index = 0;
  FixedText<8> phase{}, finish{};
  std::int32_t home = 0, prompt_tokens = 0, generated = 0, max_new_tokens = 0, rewinds = 0;
  std::int64_t first_token_at = 0;                              // in /tokens
  std::int64_t id_at = 0, id_bytes = 0;                         // in /text
  std::int64_t stop_at = 0, stop_bytes = 0;                     // a JSON array of strings
  std::int64_t refused_at = 0, refused_bytes = 0, error_at = 0, error_bytes = 0;
  double arrival = 0, first_token = 0, end = 0;                 // s on the job's clock, which goes on after a restore
  std::uint64_t stream_hi = 0, stream_lo = 0;
  std::int64_t length = 0;
};

/// A row of /pages (`layer` counts page tables: of a scheduler by head, layer * KV heads + head): which page row i of /page_headers is, where its payload is, and where it lay.
struct PageRow {
  std::uint64_t stream_hi = 0, stream_lo = 0;
  std::int32_t layer = 0, block = 0, tokens = 0, rank = 0, slot = 0, indexed = 0;   // indexed: 1 at an owner, 0 at its home
  std::uint64_t generation = 0;
  std::uint64_t at = 0, bytes = 0;   // of its payload in /page_payloads
};

/// A row of /policies, of a running request with policies: where in /policy_state (bytes) and /evicted (rows) its part is.
struct PolicyRow {
  std::int64_t index = 0;   // of the request
  std::int32_t version = 0;   // of the form of the state
  std::int64_t state_at = 0, state_bytes = 0, evicted_at = 0, evicted_pages = 0;
};

hdf5::RowType saved_request_rows();
hdf5::RowType policy_rows();
hdf5::RowType evicted_rows();
hdf5::RowType page_rows();

/// The requests as rows and as what they point into.
struct PackedRequests {
  std::vector<RequestRow> rows;
  std::vector<std::int32_t> tokens;
  std::string text;
  std::vector<PolicyRow> policies;   // these three are empty of a job without policies
  std::string policy_state;
  std::vector<EvictedPage> evicted;
};
PackedRequests pack(std::vector<SavedRequest> const& requests);
/// Throws RunError if a row points outside, or names a phase, finish or version that does not exist.
std::vector<SavedRequest> unpack(PackedRequests const& packed);

/// What a checkpoint says of the job besides its requests and pages.
struct CheckpointFacts {
  std::string version, commit, saved;          // saved: date and time, UTC, ISO 8601
  std::string reason;                          // "interval", or what stopped the job
  std::int64_t step = 0, ranks = 0, hosts = 0;
  double clock_s = 0;                          // the job's clock
  std::string placement;                       // JSON: what the table of buckets was computed from; a restore computes its own
  shards::Fingerprint fingerprint{};           // of model and page shape
  std::uint64_t payload_bytes = 0;             // of an uncompressed page
  Attributes options;                          // as the user gave them, name -> text
  Attributes model;
};

/// The attributes of the root, but for the digest of the tables.
Attributes root_attributes(CheckpointFacts const& facts);

std::string hex(shards::Fingerprint const& fingerprint);   // 32 digits

}  // namespace pikv::runtime
