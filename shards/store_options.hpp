#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/device.hpp"
#include "shards/header.hpp"
#include "shards/kv_expert.hpp"
#include "shards/page.hpp"

namespace pikv::shards {

/// Ship the query to the page, fetch the page to the query, or decide by bytes (methods 1.7).
enum class Move { query, page, automatic };

/// A page of the embedded model (docs/page.md: what that costs).
inline constexpr std::size_t default_scrub_bytes = 16 << 10;

/// 1 MiB, or a page where that is larger.
std::size_t default_migration_bytes(kernels::PageLayout const& layout);

/// As slots, home_slots and replica_slots of StoreOptions, for a size class of coded pages.
struct CodedSlots {
  std::size_t slots = 0, home_slots = 0, replica_slots = 0;
};

class PageCodecs;
class PageForms;
class EncodeWatch;

struct StoreOptions {
  std::int32_t layers = 0;                   // page tables: the model's layers, times tables_per_layer
  std::int32_t tables_per_layer = 1;         // 1: pages hold all KV heads; more: each table holds layout.kv_heads of them
  std::int32_t q_heads = 0;                  // that read one table
  kernels::PageLayout layout;                // of a page, so kv_heads is of a table
  Fingerprint fingerprint;                   // of the model; the page shape is mixed in
  std::size_t slots = 0;                     // of this rank's arena
  std::size_t home_slots = 0;                // of these: for own open, pending and replica pages; the rest is for shards
  std::size_t replica_slots = 0;             // of the home's: at most so many replicas; with tiers: copies of demoted pages at once, at least 1
  std::shared_ptr<PageCodecs const> codecs;  // null: sealed pages stay uncompressed
  std::vector<CodedSlots> coded_slots;       // by size class of coded pages, from class 1 on; the three above are then of class 0
  kernels::Device* device = nullptr;         // borrowed: where pages lie and are attended; null: kernels::host_device()
  std::shared_ptr<PageForms const> forms;    // of `codecs` on the device; the store makes them
  EncodeWatch* encode_watch = nullptr;       // borrowed; null: nobody looks on
  std::int32_t exact_blocks = 0;             // newest full blocks of a stream that stay uncompressed
  std::int64_t cold_after = 0;               // with cold codecs: a page is cold once all its tokens lie at least so many behind its stream's end
  bool local = false;                        // every page stays at its home
  bool tiers = false;                        // pages may be moved to slower tiers; needs local
  std::size_t tier_host_bytes = 0;           // of the host tier at most; what does not fit goes to the file
  std::string tier_folder;                   // of the file; empty: default_tier_folder()
  Move move = Move::automatic;
  std::string home = "mod";
  KvExpert kv_experts = default_kv_experts;
  std::int32_t most_rows = 0;                // rows this rank may bring to a step
  std::int32_t most_streams = 0;             // running streams
  Block most_blocks = 0;                     // of one stream
  std::size_t scrub_bytes_per_step = default_scrub_bytes;   // payload verified in the background; 0: none
  bool page_masses = false;                  // a policy wants the log-sum-exp of pages: partials have room for them
  std::size_t most_events = 0;               // page events kept until they are taken away; 0: none
  double deadline_s = 30;
  std::vector<std::uint64_t> weights;        // of ranks in the first placement; empty: equal
  double skew = 0;                           // above 0: blocks choose buckets by Zipf's law of that exponent, a workload for tests
  std::uint64_t skew_seed = 0;
  std::size_t migration_bytes = 0;           // payload and headers that this rank may push for moves in a step; 0: default_migration_bytes(layout)

  std::int32_t classes() const { return 1 + static_cast<std::int32_t>(coded_slots.size()); }
  CodedSlots slots_of(std::int32_t size_class) const {
    return size_class == 0 ? CodedSlots{slots, home_slots, replica_slots} : coded_slots[static_cast<std::size_t>(size_class) - 1];
  }
};

/// The size class of a table's pages when they are sealed, those of block 0 excepted, which stay uncompressed.
std::int32_t sealed_class(StoreOptions const& options, std::int32_t table);
/// Pages of a block that are in a size class when they are sealed, or when they are cold.
std::int32_t sealed_tables(StoreOptions const& options, std::int32_t size_class);
std::int32_t cold_tables(StoreOptions const& options, std::int32_t size_class);
/// Payload of a table's page when it is sealed, block 0 excepted.
std::size_t sealed_bytes(StoreOptions const& options, std::int32_t table);
/// Of a table's page with this header; none: it is none of the table's.
std::optional<std::int32_t> stored_class(StoreOptions const& options, std::int32_t table, PageHeader const& header);
/// Whether pages that cool are stored in fewer bytes.
bool recodes(StoreOptions const& options);
/// Pages of streams that this rank has slots for, pages of all tables in equal numbers.
std::size_t stream_pages(StoreOptions const& options);

}  // namespace pikv::shards
