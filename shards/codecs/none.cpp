#include "shards/codecs/none.hpp"

#include <algorithm>

namespace pikv::shards {
namespace {

class NoneCodec : public Codec {
 public:
  std::uint32_t id() const override { return 0; }
  std::size_t payload_bytes(kernels::PageLayout const& layout) const override { return layout.bytes(); }
  void encode(kernels::PageLayout const& layout, std::span<std::byte const> page, std::span<std::byte> payload) const override {
    std::ranges::copy(page.first(layout.bytes()), payload.begin());
  }
  double stated_ratio(kernels::PageLayout const&) const override { return 1; }
};

}  // namespace

std::unique_ptr<Codec> make_none_codec() { return std::make_unique<NoneCodec>(); }

}  // namespace pikv::shards
