#include "shards/header.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <type_traits>

#include "comm/checksum.hpp"

namespace pikv::shards {

static_assert(std::endian::native == std::endian::little, "pages are little-endian and used as they are in memory");
static_assert(std::is_trivially_copyable_v<PageHeader> && std::has_unique_object_representations_v<PageHeader>);

static_assert(offsetof(PageHeader, magic) == 0);
static_assert(offsetof(PageHeader, layout) == 8);
static_assert(offsetof(PageHeader, codec) == 12);
static_assert(offsetof(PageHeader, key) == 16);
static_assert(offsetof(PageHeader, generation) == 48);
static_assert(offsetof(PageHeader, epoch) == 56);
static_assert(offsetof(PageHeader, push) == 64);
static_assert(offsetof(PageHeader, step) == 72);
static_assert(offsetof(PageHeader, first_position) == 80);
static_assert(offsetof(PageHeader, tokens) == 88);
static_assert(offsetof(PageHeader, checksums) == 92);
static_assert(offsetof(PageHeader, home) == 94);
static_assert(offsetof(PageHeader, payload_bytes) == 96);
static_assert(offsetof(PageHeader, fingerprint) == 104);
static_assert(offsetof(PageHeader, checksum) == 120);
static_assert(offsetof(PageHeader, header_check) == 248);
static_assert(offsetof(PageHeader, state) == 252);

static_assert(offsetof(PageKey, stream) == 0 && offsetof(StreamId, hi) == 0 && offsetof(StreamId, lo) == 8);
static_assert(offsetof(PageKey, layer) == 16);
static_assert(offsetof(PageKey, head_begin) == 18);
static_assert(offsetof(PageKey, head_end) == 20);
static_assert(offsetof(PageKey, block) == 24);
static_assert(offsetof(Fingerprint, hi) == 0 && offsetof(Fingerprint, lo) == 8);

namespace {

thread_local std::uint64_t hashed = 0;

std::uint32_t check_over(PageHeader const& header) {
  return static_cast<std::uint32_t>(XXH3_64bits(&header, offsetof(PageHeader, header_check)));
}

bool well_formed(PageHeader const& header) {
  return intact(header) && header.magic == page_magic && header.layout == layout_1 &&
         header.checksums >= 1 && header.checksums <= max_checksums;
}

bool payload_matches(PageHeader const& header, std::size_t room, Checksums of_payload) {
  if (header.payload_bytes > room) return false;
  std::array<std::uint64_t, max_checksums> found;
  of_payload(header.payload_bytes, header.checksums, found.data());
  hashed += header.payload_bytes;
  return std::equal(found.begin(), found.begin() + header.checksums, header.checksum.begin());
}

auto in_host_memory(std::span<std::byte const> payload) {
  return [payload](std::size_t bytes, std::size_t slices, std::uint64_t* out) { take_checksums(payload.first(bytes), slices, out); };
}

}  // namespace

char const* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::good: return "good";
    case Verdict::not_ready: return "not ready";
    case Verdict::bad_header: return "bad header";
    case Verdict::bad_payload: return "bad payload";
    case Verdict::wrong_key: return "wrong key";
    case Verdict::wrong_generation: return "wrong generation";
    case Verdict::wrong_model: return "wrong model";
  }
  return "unknown";
}

void take_checksums(std::span<std::byte const> payload, std::size_t slices, std::uint64_t* out) {
  for (std::size_t i = 0; i < slices; ++i) {
    std::size_t const begin = payload.size() * i / slices, end = payload.size() * (i + 1) / slices;
    out[i] = comm::checksum(payload.subspan(begin, end - begin));
  }
}

void seal(PageHeader& header, std::span<std::byte const> payload, kernels::PageLayout const& layout) {
  seal(header, payload.size(), in_host_memory(payload), layout);
}

void seal(PageHeader& header, std::size_t payload_bytes, Checksums of_payload, kernels::PageLayout const& layout) {
  std::size_t const slices = std::min(2 * static_cast<std::size_t>(layout.kv_heads), max_checksums);
  header.payload_bytes = payload_bytes;
  header.checksums = static_cast<std::uint16_t>(slices);
  header.checksum = {};
  of_payload(payload_bytes, slices, header.checksum.data());
  hashed += payload_bytes;
  stamp(header);
  header.state = PageState::ready;
}

void stamp(PageHeader& header) { header.header_check = check_over(header); }

bool intact(PageHeader const& header) { return header.header_check == check_over(header); }

std::uint64_t hashed_bytes() { return hashed; }

Verdict verify(PageHeader const& header, std::span<std::byte const> payload, PageKey const& key, std::uint64_t generation,
               Fingerprint const& fingerprint) {
  return verify(header, payload.size(), in_host_memory(payload), key, generation, fingerprint);
}

Verdict verify(PageHeader const& header, std::size_t payload_room, Checksums of_payload, PageKey const& key, std::uint64_t generation,
               Fingerprint const& fingerprint) {
  if (header.state != PageState::ready) return Verdict::not_ready;
  if (!well_formed(header)) return Verdict::bad_header;
  if (header.fingerprint != fingerprint) return Verdict::wrong_model;
  if (header.key != key) return Verdict::wrong_key;
  if (header.generation != generation) return Verdict::wrong_generation;
  if (!payload_matches(header, payload_room, of_payload)) return Verdict::bad_payload;
  return Verdict::good;
}

Verdict verify_arrived(PageHeader const& header, std::span<std::byte const> payload, std::uint64_t generation, Fingerprint const& fingerprint) {
  return verify(header, payload, header.key, generation, fingerprint);
}

}  // namespace pikv::shards
