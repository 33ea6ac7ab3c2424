#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string_view>

#include "kernels/pool.hpp"

namespace pikv::shards {

/// How a page is stored. Pages are encoded before they are pushed. The seam for issue "codecs": for now `none` alone.
class Codec {
 public:
  virtual ~Codec() = default;
  virtual std::uint32_t id() const = 0;                                              // what a header carries
  virtual std::size_t payload_bytes(kernels::PageLayout const& layout) const = 0;    // exact, of one page
  /// Fills `payload` (payload_bytes long) from an uncompressed page.
  virtual void encode(kernels::PageLayout const& layout, std::span<std::byte const> page, std::span<std::byte> payload) const = 0;
  virtual double stated_ratio(kernels::PageLayout const& layout) const = 0;          // payload / uncompressed
};

struct CodecEntry {
  std::string_view sentence;   // for `pikv list codecs`
  std::unique_ptr<Codec> (*make)();
};
std::map<std::string_view, CodecEntry> const& codecs();
std::unique_ptr<Codec> make_codec(std::string_view name);   // InputError lists the names

}  // namespace pikv::shards
