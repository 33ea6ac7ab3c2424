#pragma once

#include <cstdint>

namespace pikv::shards {

/// What happened in the store, exact, counted where it happens; sums since construction. Pages count per layer.
struct Counts {
  std::uint64_t tokens_appended = 0;   // tokens whose keys were computed, once, not per layer
  std::uint64_t pages_sealed = 0;
  std::uint64_t pages_pushed = 0;      // pushes, repeats included
  std::uint64_t pages_acknowledged = 0;   // own pages that an owner said it has
  std::uint64_t pages_remote = 0;      // pages of other ranks that this one has stored, ever
  std::uint64_t pages_fetched = 0;     // gets, repeats included
  std::uint64_t page_reads = 0;        // pages read by own queries, wherever they were
  std::uint64_t local_reads = 0;       // of these: open, sealed, pending and own shard's pages, at home
  std::uint64_t replica_hits = 0;      // of these: in a replica fetched earlier
  std::uint64_t tier_reads = 0;        // of these: of a page in a slower tier
  std::uint64_t pages_demoted = 0;     // moves of pages to a slower tier
  std::uint64_t pages_promoted = 0;    // and to a faster one
  std::uint64_t checked = 0;           // pages whose checksum was computed to be compared
  std::uint64_t scrubbed = 0;          // of these: by the background scrub
  std::uint64_t corrupt = 0;           // of these: not what was sent
  std::uint64_t stale = 0;             // pages asked for that were not there any more
  std::uint64_t lost = 0;              // page reads that found no sound page anywhere
  std::uint64_t timeout = 0;           // transfers that did not end in time
  std::uint64_t refetched = 0;         // pages got again after a corrupt or late get
  std::uint64_t rewinds = 0;
  std::uint64_t pages_evicted = 0;     // of own streams, by a policy
  std::uint64_t cells_evicted = 0;     // of these: (token, layer, KV head)
  std::uint64_t blocks_restored = 0;   // of own streams, read from a checkpoint instead of computed, once, not per layer
  std::uint64_t pages_recoded = 0;     // of own streams, that went from warm to cold
  std::uint64_t pages_moved = 0;       // that this rank has pushed to a new owner, acknowledged there
  std::uint64_t moves_refused = 0;     // pages that stayed where they were: no slot at the new owner, or gone meanwhile
  std::uint64_t migration_bytes = 0;   // pushed for moves: payload and headers, repeats included
};

}  // namespace pikv::shards
