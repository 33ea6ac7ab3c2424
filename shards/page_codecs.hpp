#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/coded.hpp"
#include "shards/codecs/moments.hpp"
#include "shards/page.hpp"

namespace pikv::shards {

/// How keys, or values, of a page table are stored.
struct StoredPart {
  kernels::Element element = kernels::Element::bf16;
  std::vector<RankMap> maps;     // of its KV heads; empty: the identity
  std::int32_t own_rank = 0;     // kernels::PartSpec
  std::vector<std::vector<std::uint8_t>> bits;   // of mixed, by KV head: of each strip

  bool as_is(kernels::DType page) const;   // element is the page's type, and nothing is mapped
};

struct TableCodec {
  std::string name;   // as a user would write it, keys/values; part of what a header says
  StoredPart k, v;
};

/// A page is warm when it is sealed; once it lies far enough behind its stream's end (StoreOptions::cold_after) it is cold, and stored in fewer bytes.
enum class Level : std::int32_t { warm, cold };
inline constexpr std::int32_t levels = 2;

/// How sealed pages of each page table are stored (issue 7). A table whose parts are as they are stays uncompressed, in size class 0; others share a
/// few size classes after it: where there are more page sizes than that, the nearest larger class takes them, which shows as slack. Cold pages
/// have classes of their own, after those, so that a page's class says its level.
class PageCodecs {
 public:
  static constexpr std::int32_t most_classes = 8;   // of both levels together

  /// `tables`: one each, in the order of a directory. One whose coded pages would be no smaller stays uncompressed; InputError if
  /// that is so of every table that is to be coded. `cold`: none, or one each. A table whose cold pages would be no smaller than its warm
  /// ones stays warm; InputError if that is so of every table.
  PageCodecs(kernels::PageLayout const& page, std::vector<TableCodec> tables, std::vector<TableCodec> cold = {});

  std::int32_t tables() const { return static_cast<std::int32_t>(coded_.size()); }
  bool codes(std::int32_t table) const { return coded(table, Level::warm).shape != nullptr; }
  /// Whether pages of the table have a cold form.
  bool cools(std::int32_t table) const { return coded(table, Level::cold).shape != nullptr; }
  bool any_cool() const { return cold_tables() > 0; }
  bool all_cool() const { return cold_tables() == tables(); }
  /// Of a table that is coded, or cools.
  kernels::CodedLayout layout(std::int32_t table, Level level = Level::warm) const { return coded(table, level).shape->layout(); }
  /// Of a sealed page of the table, its first block excepted.
  std::int32_t size_class(std::int32_t table, Level level = Level::warm) const { return coded(table, level).size_class; }
  Level level_of(std::int32_t size_class) const { return size_class > warm_classes_ ? Level::cold : Level::warm; }
  /// What a header says: 0 uncompressed, else the low half of xxh3-64 over the codec's name.
  std::uint32_t id(std::int32_t table, Level level = Level::warm) const { return coded(table, level).id; }
  /// The size class of a page of the table whose header says so; none: it is no page of this table.
  std::optional<std::int32_t> class_of(std::int32_t table, std::uint32_t id) const;
  std::string const& name(std::int32_t table) const { return specs_[static_cast<std::size_t>(table)].name; }

  /// Size classes of coded pages, 1 on; class c has pages of class_bytes(c), one for each of tables_in(c) tables in a block.
  std::int32_t classes() const { return static_cast<std::int32_t>(class_bytes_.size()); }
  std::size_t class_bytes(std::int32_t size_class) const { return class_bytes_[static_cast<std::size_t>(size_class) - 1]; }
  std::int32_t tables_in(std::int32_t size_class) const;

  /// Payload and headers of a block's pages over the bytes of the same pages uncompressed; cold: once those that cool have cooled.
  double stated_ratio(Level level = Level::warm) const;
  /// Payload bytes of a block's pages.
  std::size_t block_bytes(Level level = Level::warm) const;
  /// Over everything that decides what a payload means: names, ranks, matrices.
  std::uint64_t digest() const { return digest_; }

 private:
  struct Coded {
    std::unique_ptr<kernels::CodedShape> shape;   // null: uncompressed
    std::int32_t size_class = 0;
    std::uint32_t id = 0;
  };
  using ByLevel = std::array<Coded, levels>;
  Coded const& coded(std::int32_t table, Level level) const { return coded_[static_cast<std::size_t>(table)][static_cast<std::size_t>(level)]; }
  std::int32_t cold_tables() const;
  std::size_t page_bytes(ByLevel const& coded, Level level) const;
  Coded make(TableCodec const& spec);
  std::int32_t add_classes(Level level, std::int32_t most);

  kernels::PageLayout page_;
  std::vector<TableCodec> specs_, cold_specs_;   // never change: shapes point into them
  std::vector<ByLevel> coded_;
  std::vector<std::size_t> class_bytes_;
  std::int32_t warm_classes_ = 0;
  std::uint64_t digest_ = 0;
};

}  // namespace pikv::shards
