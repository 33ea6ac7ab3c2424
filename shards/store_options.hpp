#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/pool.hpp"
#include "shards/kv_expert.hpp"
#include "shards/page.hpp"

namespace pikv::shards {

/// Ship the query to the page, fetch the page to the query, or decide by bytes (methods 1.7).
enum class Move { query, page, automatic };

/// A page of the embedded model (docs/page.md: what that costs).
inline constexpr std::size_t default_scrub_bytes = 16 << 10;

struct StoreOptions {
  std::int32_t layers = 0, q_heads = 0;
  kernels::PageLayout layout;
  Fingerprint fingerprint;                   // of the model; the page shape is mixed in
  std::size_t slots = 0;                     // of this rank's arena
  std::size_t home_slots = 0;                // of these: for own open, pending and replica pages; the rest is for shards
  std::size_t replica_slots = 0;             // of the home's: at most so many replicas
  bool local = false;                        // every page stays at its home
  Move move = Move::automatic;
  std::string home = "mod";
  KvExpert kv_experts = default_kv_experts;
  std::int32_t most_rows = 0;                // rows this rank may bring to a step
  std::int32_t most_streams = 0;             // running streams
  Block most_blocks = 0;                     // of one stream
  std::size_t scrub_bytes_per_step = default_scrub_bytes;   // payload verified in the background; 0: none
  std::size_t most_events = 0;               // page events kept until they are taken away; 0: none
  double deadline_s = 30;
  std::vector<std::uint64_t> weights;        // of ranks in the placement; empty: equal
};

}  // namespace pikv::shards
