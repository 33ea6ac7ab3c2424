#include <algorithm>
#include <cstring>
#include <vector>

#include "shards/tier.hpp"

namespace pikv::shards {
namespace {

class HostTier final : public Tier {
 public:
  HostTier(std::size_t payload_bytes, std::size_t most_bytes) : page_bytes_{header_bytes + payload_bytes}, most_pages_{most_bytes / page_bytes_} {}

  std::int64_t put(PageHeader const& header, std::span<std::byte const> payload) override {
    if (room() == 0) return -1;
    std::int64_t const place = places_.take();
    pages_.resize(std::max(pages_.size(), places_.ever()));
    auto& page = at(place);
    page = std::make_unique_for_overwrite<std::byte[]>(page_bytes_);
    std::memcpy(page.get(), &header, header_bytes);
    std::memcpy(page.get() + header_bytes, payload.data(), payload.size());
    return place;
  }
  bool get(std::int64_t place, PageHeader& header, std::span<std::byte> payload) override {
    if (!places_.holds(place)) return false;
    std::memcpy(&header, at(place).get(), header_bytes);
    std::memcpy(payload.data(), at(place).get() + header_bytes, payload.size());
    return true;
  }
  void erase(std::int64_t place) override {
    places_.give_back(place);
    at(place).reset();
  }
  std::size_t pages() const override { return places_.used(); }
  std::size_t room() const override { return most_pages_ - places_.used(); }
  std::size_t bytes() const override { return places_.used() * page_bytes_; }

 private:
  std::unique_ptr<std::byte[]>& at(std::int64_t place) { return pages_[static_cast<std::size_t>(place)]; }

  std::size_t page_bytes_, most_pages_;
  Places places_;
  std::vector<std::unique_ptr<std::byte[]>> pages_;
};

}  // namespace

std::unique_ptr<Tier> make_host_tier(std::size_t payload_bytes, std::size_t most_bytes) { return std::make_unique<HostTier>(payload_bytes, most_bytes); }

}  // namespace pikv::shards
