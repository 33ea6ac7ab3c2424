#include "shards/page_codecs.hpp"

#include <gtest/gtest.h>

#include <set>

#include "comm/error.hpp"

#include "shards/codecs/map_view.hpp"
#include "shards/codecs/maps/rotate.hpp"
#include "shards/header.hpp"

namespace pikv::test {
namespace {

using namespace shards;
using kernels::Element;

constexpr kernels::PageLayout page{kernels::DType::bf16, 2, 32, 64};

StoredPart numbers(Element element) { return {element, {}, 0, {}}; }

/// The first `rank` channels of each head.
StoredPart cut(std::int32_t rank, Element element = Element::bf16) {
  StoredPart part{element, {}, 0, {}};
  for (std::int32_t head = 0; head < page.kv_heads; ++head) {
    RankMap map{page.head_dim, rank, std::vector<float>(static_cast<std::size_t>(rank * page.head_dim)), std::vector<float>(static_cast<std::size_t>(rank * page.head_dim)),
                std::vector<float>(static_cast<std::size_t>(page.head_dim))};
    for (std::int32_t r = 0; r < rank; ++r) map.encode[static_cast<std::size_t>(r * page.head_dim + r)] = map.decode[static_cast<std::size_t>(r * rank + r)] = 1;
    part.maps.push_back(map);
  }
  return part;
}

TEST(ViewOf, IsOrthonormalWhereTurningThereAndBackChangesNoLength) {
  RankMap turned = map_of_rank(rotation_map(64), 64), longer = turned, sheared = turned;
  EXPECT_TRUE(view_of(turned).orthonormal);
  EXPECT_TRUE(view_of(map_of_rank(rotation_map(64), 32)).orthonormal);
  EXPECT_FALSE(view_of(map_of_rank(rotation_map(60), 64)).orthonormal) << "numbers that are always 0";
  for (auto* numbers : {&longer.encode, &longer.decode})
    for (float& x : *numbers) x *= 1.0001f;
  EXPECT_FALSE(view_of(longer).orthonormal);
  sheared.decode[5] += 1e-4f;
  EXPECT_FALSE(view_of(sheared).orthonormal);
}

TEST(PageCodecs, TablesThatStayAsTheyAreHaveNoClassOfTheirOwn) {
  PageCodecs const codecs{page, {{"none", numbers(Element::bf16), numbers(Element::bf16)}, {"int8", numbers(Element::int8), numbers(Element::int8)}}};
  EXPECT_FALSE(codecs.codes(0));
  EXPECT_EQ(codecs.size_class(0), 0);
  EXPECT_EQ(codecs.id(0), 0u);
  EXPECT_TRUE(codecs.codes(1));
  EXPECT_EQ(codecs.size_class(1), 1);
  EXPECT_NE(codecs.id(1), 0u);
  EXPECT_EQ(codecs.classes(), 1);
  EXPECT_EQ(codecs.tables_in(0) + codecs.tables_in(1), 2);
  EXPECT_EQ(codecs.class_bytes(1), codecs.layout(1).bytes);
  EXPECT_DOUBLE_EQ(codecs.stated_ratio(), static_cast<double>(page.bytes() + codecs.layout(1).bytes + 2 * header_bytes) / static_cast<double>(2 * page.bytes()));
}

TEST(PageCodecs, ColdPagesHaveClassesOfTheirOwnAndTablesThatWouldNotGetSmallerStayWarm) {
  TableCodec const int8{"int8", numbers(Element::int8), numbers(Element::int8)}, int4{"int4", numbers(Element::int4), numbers(Element::int4)};
  TableCodec const none{"none", numbers(Element::bf16), numbers(Element::bf16)};
  PageCodecs const codecs{page, {int8, int4, none}, {int4, int8, int4}};
  EXPECT_TRUE(codecs.any_cool());
  EXPECT_FALSE(codecs.all_cool());
  EXPECT_TRUE(codecs.cools(0));
  EXPECT_FALSE(codecs.cools(1)) << "int8 is larger than int4";
  EXPECT_TRUE(codecs.cools(2)) << "from uncompressed";
  EXPECT_EQ(codecs.classes(), 3);
  for (std::int32_t const table : {0, 2}) {
    std::int32_t const cold = codecs.size_class(table, Level::cold);
    EXPECT_EQ(codecs.level_of(cold), Level::cold);
    EXPECT_EQ(codecs.class_bytes(cold), codecs.layout(table, Level::cold).bytes);
    EXPECT_EQ(codecs.class_of(table, codecs.id(table, Level::cold)), cold);
    EXPECT_EQ(codecs.level_of(codecs.size_class(table)), Level::warm);
  }
  EXPECT_EQ(codecs.tables_in(codecs.size_class(0, Level::cold)), 2);
  EXPECT_EQ(codecs.class_of(0, codecs.id(0)), codecs.size_class(0));
  EXPECT_EQ(codecs.class_of(0, 0), 0);
  EXPECT_FALSE(codecs.class_of(1, codecs.id(0)).has_value()) << "another table's";
  EXPECT_EQ(codecs.block_bytes(Level::cold), 3 * codecs.layout(1).bytes);
  EXPECT_LT(codecs.stated_ratio(Level::cold), codecs.stated_ratio());
  EXPECT_NE(codecs.digest(), (PageCodecs{page, {int8, int4, none}}.digest()));
  EXPECT_THROW((PageCodecs{page, {int4}, {int8}}), InputError);
  EXPECT_THROW((PageCodecs{page, {int4}, {int4}}), InputError);
}

TEST(PageCodecs, EverySizeFitsItsClassAndTheClassesAreFew) {
  std::vector<TableCodec> tables;
  for (std::int32_t rank = 8; rank <= 64; rank += 8)
    for (Element const element : {Element::bf16, Element::int8}) tables.push_back({"cut", cut(rank, element), cut(rank, element)});
  PageCodecs const codecs{page, tables};
  EXPECT_EQ(codecs.classes(), PageCodecs::most_classes);
  for (std::int32_t table = 0; table < codecs.tables(); ++table) {
    if (!codecs.codes(table)) continue;   // all channels in bf16: no smaller than the page
    std::int32_t const own = codecs.size_class(table);
    EXPECT_LE(codecs.layout(table).bytes, codecs.class_bytes(own));
    if (own > 1) {
      EXPECT_GT(codecs.layout(table).bytes, codecs.class_bytes(own - 1)) << "a smaller class would do";
    }
  }
}

TEST(PageCodecs, ATableThatWouldNotGetSmallerStaysAndACodecThatSavesNothingIsRefused) {
  PageCodecs const codecs{page, {{"cut", cut(64), cut(64)}, {"cut", cut(32), cut(32)}}};
  EXPECT_FALSE(codecs.codes(0));
  EXPECT_TRUE(codecs.codes(1));
  EXPECT_THROW((PageCodecs{page, {{"cut", cut(64), cut(64)}}}), InputError);
}

TEST(PageCodecs, DigestTellsNamesTypesAndMatricesApart) {
  std::set<std::uint64_t> digests;
  auto const add = [&](TableCodec const& table) { digests.insert(PageCodecs{page, {table}}.digest()); };
  add({"a", numbers(Element::int8), numbers(Element::int8)});
  add({"b", numbers(Element::int8), numbers(Element::int8)});
  add({"a", numbers(Element::int8), numbers(Element::int4)});
  add({"a", numbers(Element::int4), numbers(Element::int8)});
  add({"a", cut(16), numbers(Element::int8)});
  add({"a", cut(24), numbers(Element::int8)});
  StoredPart other = cut(16);
  other.maps[1].decode[5] += 1e-6f;
  add({"a", other, numbers(Element::int8)});
  EXPECT_EQ(digests.size(), 7u);
}

}  // namespace
}  // namespace pikv::test
