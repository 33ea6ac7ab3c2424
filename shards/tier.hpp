#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "shards/header.hpp"

namespace pikv::shards {

/// Where pages can lie at their home, fastest first: the arena, plain memory beside it, a file.
enum class TierKind : std::int8_t { fast, host, file };
inline constexpr std::size_t tier_kinds = 3;
char const* to_string(TierKind kind);

/// Where in a slower tier a page lies; invalid if it does not.
struct TierPlace {
  TierKind tier = TierKind::fast;
  std::int64_t at = -1;
  bool valid() const { return at >= 0; }
};

/// A slower place for whole pages of one size, by place numbers; the place that was freed last is used first. Verifies nothing: whoever
/// brings a page checks it before, and whoever gets one after (tiers.hpp).
class Tier {
 public:
  virtual ~Tier() = default;

  /// Keeps a copy. -1: no room. Throws RunError if the medium fails.
  virtual std::int64_t put(PageHeader const& header, std::span<std::byte const> payload) = 0;
  /// A copy of what lies there. False: it could not be read.
  [[nodiscard]] virtual bool get(std::int64_t place, PageHeader& header, std::span<std::byte> payload) = 0;
  /// Throws std::logic_error if nothing lies there (a bug of ours).
  virtual void erase(std::int64_t place) = 0;

  virtual std::size_t pages() const = 0;
  virtual std::size_t room() const = 0;    // pages more
  virtual std::size_t bytes() const = 0;   // of the pages in it, headers included
};

/// In memory taken page by page and given back with the page; at most `most_bytes` of it.
std::unique_ptr<Tier> make_host_tier(std::size_t payload_bytes, std::size_t most_bytes);
/// In a file of `folder` that has no name from the start, so that nothing is left of it however the process ends. As large as the most pages
/// it ever held; read and written through the system's cache. Throws InputError if no file can be made there.
std::unique_ptr<Tier> make_file_tier(std::size_t payload_bytes, std::string const& folder);

/// TMPDIR, or /tmp.
std::string default_tier_folder();

/// Which places are in use.
class Places {
 public:
  std::int64_t take();
  void give_back(std::int64_t place);
  bool holds(std::int64_t place) const;
  std::size_t used() const { return used_.size() - free_.size(); }
  std::size_t ever() const { return used_.size(); }

 private:
  std::vector<bool> used_;
  std::vector<std::int64_t> free_;
};

}  // namespace pikv::shards
