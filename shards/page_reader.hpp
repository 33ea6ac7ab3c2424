#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "shards/arena.hpp"
#include "shards/plan.hpp"
#include "shards/store_options.hpp"

namespace pikv::shards {

/// Attention of groups of rows over pages of one layer in this rank's arena, uncompressed and coded ones side by side: each form by its own kernel, the
/// parts joined (I1), uncompressed first, then table by table, warm ones before cold ones. Memory is kept from call to call.
class PageReader {
 public:
  PageReader(Arena const& arena, StoreOptions const& options) : arena_{arena}, options_{options}, part_{arena.device()}, device_lse_{arena.device()} {}

  void reserve(std::size_t pages);
  void clear();
  /// The next page of the group that end_group() ends.
  void page(Slot slot, std::int64_t first_position, std::int32_t tokens);
  /// Rows of `table` from a position on, that read the pages since the last end_group().
  void end_group(std::int32_t table, std::int64_t first_position, std::int32_t rows);
  std::int32_t rows() const { return rows_; }
  std::int32_t pages() const { return static_cast<std::int32_t>(pages_.size()); }
  /// One past the last page of a group.
  std::int32_t last_page(std::int32_t group) const { return groups_[static_cast<std::size_t>(group)].end_page; }

  /// As kernels::attend, over all groups: page_lse null, or [pages][rows][q_heads] group after group, in host memory; q and out in the device's.
  void attend(float const* q, kernels::PartialView out, float* page_lse);

 private:
  struct Page {
    Slot slot;
    std::int32_t tokens;
    std::int64_t first_position;
  };
  struct Group {
    std::int32_t table, rows, end_page;
    std::int64_t first_position;
  };
  template <typename Wanted>
  void make_plan(Wanted const& wanted);
  template <typename Attend>
  void attend_plan(float* lse, Attend const& attend);
  template <typename Wanted>
  void place_lse(Wanted const& wanted, float* page_lse) const;
  bool coded(Page const& page) const { return arena_.size_class(page.slot) > 0; }
  std::int32_t form(std::int32_t table, Page const& page) const;

  Arena const& arena_;
  StoreOptions const& options_;
  std::vector<Page> pages_;
  std::vector<Group> groups_;
  std::vector<std::int32_t> forms_;    // of coded pages: table * levels + level, ascending
  std::int32_t rows_ = 0;
  Plan plan_;
  PartialBuffer part_;
  kernels::Buffer<float> device_lse_;
  std::vector<float> lse_;
};

}  // namespace pikv::shards
