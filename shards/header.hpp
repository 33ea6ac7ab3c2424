#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "comm/function_ref.hpp"
#include "shards/kv_expert.hpp"
#include "shards/page.hpp"

namespace pikv::shards {

inline constexpr std::size_t header_bytes = 256;
inline constexpr std::uint64_t page_magic = 0x0031'4750'564B'6950u;   // "PiKVPG1\0"
inline constexpr std::uint32_t layout_1 = 1;                         // K[H_kv][p][d] then V[H_kv][p][d], after rotary
inline constexpr std::size_t max_checksums = 16;

enum class PageState : std::uint32_t { empty = 0, ready = 0x59444552 /* "REDY" */ };

/// The record beside each payload: fixed, little-endian, in host memory also when payloads are on a GPU. docs/page.md
/// has the byte map. The state word is the last 4 bytes of the record.
struct PageHeader {
  std::uint64_t magic = page_magic;
  std::uint32_t layout = layout_1;
  std::uint32_t codec = 0;
  PageKey key{};
  std::uint64_t generation = 0;                   // of the slot it was written for
  std::uint64_t epoch = 0;                        // of the placement it was placed under
  std::uint64_t push = 0;                         // number of the push, per (writer, owner), from 1
  std::uint32_t step = 0;                         // of the home, when it sealed the page: its low 32 bits
  KvExpert expert = 0;                            // the page's KV expert
  std::int64_t first_position = 0;
  std::uint32_t tokens = 0;
  std::uint16_t checksums = 0;                    // how many of `checksum` are used
  std::uint16_t home = 0;                         // rank that decodes the stream: it need not be the one that pushed the page
  std::uint64_t payload_bytes = 0;
  Fingerprint fingerprint{};
  std::array<std::uint64_t, max_checksums> checksum{};   // xxh3-64 of each slice of the payload
  std::uint32_t header_check = 0;                 // low half of xxh3-64 of all bytes before it
  PageState state = PageState::empty;
};
static_assert(sizeof(PageHeader) == header_bytes);

/// What a check found. Only `good` may be served. docs/page.md says which check gives which.
enum class [[nodiscard]] Verdict { good, not_ready, bad_header, bad_payload, wrong_key, wrong_generation, wrong_model };
char const* to_string(Verdict verdict);

/// Fills payload_bytes, checksums, header_check and state = ready, from exactly the payload. s = min(2 * kv_heads, 16) slices; slice i is
/// bytes [n * i / s, n * (i + 1) / s) of the n payload bytes: a K or V head each while 2 * kv_heads <= 16 (docs/page.md).
void seal(PageHeader& header, std::span<std::byte const> payload, kernels::PageLayout const& layout);

/// The checksums of the first `bytes` of a payload in so many slices, for who seals or verifies a payload that the processor does not read.
using Checksums = comm::FunctionRef<void(std::size_t bytes, std::size_t slices, std::uint64_t* out)>;
void seal(PageHeader& header, std::size_t payload_bytes, Checksums of_payload, kernels::PageLayout const& layout);
/// Those of a payload in host memory.
void take_checksums(std::span<std::byte const> payload, std::size_t slices, std::uint64_t* out);

/// Recomputes header_check after generation, epoch, push or home changed; the payload's checksums stay as seal() found them.
void stamp(PageHeader& header);
/// Whether header_check is right. To be asked before a change that stamp() follows: a stamp would hide damage done before.
bool intact(PageHeader const& header);

/// Everything that must hold before a page may be served, checked in this order: state, header check, magic and layout, fingerprint,
/// key, generation, payload length and checksums. `payload` may go on past payload_bytes (a slot). Hashes each payload byte once.
Verdict verify(PageHeader const& header, std::span<std::byte const> payload, PageKey const& key, std::uint64_t generation,
               Fingerprint const& fingerprint);
/// The same of a payload with room for so many bytes.
Verdict verify(PageHeader const& header, std::size_t payload_room, Checksums of_payload, PageKey const& key, std::uint64_t generation,
               Fingerprint const& fingerprint);
/// The same without an expected key (an owner that indexes what arrived; the key is then what the header says).
Verdict verify_arrived(PageHeader const& header, std::span<std::byte const> payload, std::uint64_t generation, Fingerprint const& fingerprint);

/// Payload bytes that seal and verify have hashed on this thread, ever: each hop of a page costs its payload once.
std::uint64_t hashed_bytes();

}  // namespace pikv::shards
