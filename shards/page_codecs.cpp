#include "shards/page_codecs.hpp"

#include <algorithm>
#include <string>

#include "comm/checksum.hpp"
#include "comm/error.hpp"
#include "shards/codecs/map_view.hpp"
#include "shards/header.hpp"
#include "shards/mix.hpp"

namespace pikv::shards {

namespace {

kernels::Element element_of(kernels::DType type) {
  return type == kernels::DType::f32 ? kernels::Element::f32 : type == kernels::DType::bf16 ? kernels::Element::bf16 : kernels::Element::f16;
}

std::vector<kernels::LinearMap> views_of(StoredPart const& part) {
  std::vector<kernels::LinearMap> views;
  for (RankMap const& map : part.maps) views.push_back(view_of(map));
  return views;
}

std::uint64_t hash_of(std::string_view text) { return comm::checksum(std::as_bytes(std::span{text})); }

std::uint64_t digest_of(StoredPart const& part, std::uint64_t seed) {
  seed = mix(seed ^ static_cast<std::uint64_t>(part.element));
  seed = mix(seed ^ static_cast<std::uint64_t>(part.own_rank));
  for (auto const& bits : part.bits) seed = mix(seed ^ comm::checksum(std::as_bytes(std::span{bits})));
  for (RankMap const& map : part.maps)
    for (auto const* numbers : {&map.encode, &map.decode, &map.mean}) seed = mix(seed ^ comm::checksum(std::as_bytes(std::span{*numbers})));
  return seed;
}

// The distinct sizes, or the largest of as many runs of neighbours.
std::vector<std::size_t> classes_of(std::vector<std::size_t> sizes, std::size_t most) {
  std::ranges::sort(sizes);
  sizes.erase(std::ranges::unique(sizes).begin(), sizes.end());
  if (sizes.size() <= most) return sizes;
  std::vector<std::size_t> classes;
  for (std::size_t i = 1; i <= most; ++i) classes.push_back(sizes[sizes.size() * i / most - 1]);
  return classes;
}

}  // namespace

bool StoredPart::as_is(kernels::DType page) const { return maps.empty() && own_rank == 0 && element == element_of(page); }

PageCodecs::PageCodecs(kernels::PageLayout const& page, std::vector<TableCodec> tables, std::vector<TableCodec> cold)
    : page_{page}, specs_{std::move(tables)}, cold_specs_{std::move(cold)}, coded_(specs_.size()) {
  bool wanted = false, smaller = false;
  for (std::size_t table = 0; table < specs_.size(); ++table) {
    Coded& coded = coded_[table][0];
    coded = make(specs_[table]);
    wanted = wanted || coded.shape;
    if (coded.shape && coded.shape->layout().bytes >= page.bytes()) coded = {};
    smaller = smaller || coded.shape;
  }
  if (wanted && !smaller)
    throw InputError("the codec " + specs_.front().name + " makes no page smaller than its " + std::to_string(page.bytes()) +
                     " bytes; keep fewer numbers, add a type such as int8, or give a larger --page-tokens");
  for (std::size_t table = 0; table < cold_specs_.size(); ++table) {
    Coded& coded = coded_[table][1];
    coded = make(cold_specs_[table]);
    if (coded.shape && coded.shape->layout().bytes >= page_bytes(coded_[table], Level::warm)) coded = {};
    if (coded.shape && coded.id == coded_[table][0].id) ++coded.id;
  }
  if (!cold_specs_.empty() && !any_cool())
    throw InputError("the cold codec " + cold_specs_.front().name + " makes no page smaller than " + specs_.front().name + " does (" +
                     std::to_string(page_bytes(coded_.front(), Level::warm)) + " bytes); let it keep fewer numbers or bits, or leave out --cold-codec");
  std::int32_t const most = cold_specs_.empty() ? most_classes : most_classes / levels;
  warm_classes_ = add_classes(Level::warm, most);
  add_classes(Level::cold, most);
}

PageCodecs::Coded PageCodecs::make(TableCodec const& spec) {
  Coded coded;
  digest_ = digest_of(spec.v, digest_of(spec.k, mix(digest_ ^ hash_of(spec.name))));
  if (spec.k.as_is(page_.dtype) && spec.v.as_is(page_.dtype)) return coded;
  auto const k = views_of(spec.k), v = views_of(spec.v);
  coded.shape = std::make_unique<kernels::CodedShape>(page_, kernels::PartSpec{spec.k.element, k, spec.k.own_rank, spec.k.bits},
                                                      kernels::PartSpec{spec.v.element, v, spec.v.own_rank, spec.v.bits});
  coded.id = std::max<std::uint32_t>(1, static_cast<std::uint32_t>(hash_of(spec.name)));
  return coded;
}

// Classes for the pages of one level, after those there are; returns how many.
std::int32_t PageCodecs::add_classes(Level level, std::int32_t most) {
  auto const at = static_cast<std::size_t>(level);
  std::vector<std::size_t> sizes;
  for (ByLevel const& coded : coded_)
    if (coded[at].shape) sizes.push_back(coded[at].shape->layout().bytes);
  auto const classes = classes_of(std::move(sizes), static_cast<std::size_t>(most));
  auto const first = static_cast<std::int32_t>(class_bytes_.size()) + 1;
  for (ByLevel& coded : coded_)
    if (coded[at].shape) coded[at].size_class = first + static_cast<std::int32_t>(std::ranges::lower_bound(classes, coded[at].shape->layout().bytes) - classes.begin());
  class_bytes_.insert(class_bytes_.end(), classes.begin(), classes.end());
  return static_cast<std::int32_t>(classes.size());
}

std::optional<std::int32_t> PageCodecs::class_of(std::int32_t table, std::uint32_t id) const {
  if (id == 0) return 0;
  for (Level const level : {Level::warm, Level::cold})
    if (Coded const& one = coded(table, level); one.shape && one.id == id) return one.size_class;
  return std::nullopt;
}

std::int32_t PageCodecs::cold_tables() const {
  return static_cast<std::int32_t>(std::ranges::count_if(coded_, [](ByLevel const& coded) { return coded[1].shape != nullptr; }));
}

std::int32_t PageCodecs::tables_in(std::int32_t size_class) const {
  auto const level = static_cast<std::size_t>(level_of(size_class));
  return static_cast<std::int32_t>(std::ranges::count_if(coded_, [&](ByLevel const& coded) { return coded[level].size_class == size_class; }));
}

// A page that does not cool keeps its size.
std::size_t PageCodecs::page_bytes(ByLevel const& coded, Level level) const {
  if (level == Level::cold && coded[1].shape) return coded[1].shape->layout().bytes;
  return coded[0].shape ? coded[0].shape->layout().bytes : page_.bytes();
}

std::size_t PageCodecs::block_bytes(Level level) const {
  std::size_t bytes = 0;
  for (ByLevel const& coded : coded_) bytes += page_bytes(coded, level);
  return bytes;
}

double PageCodecs::stated_ratio(Level level) const {
  return static_cast<double>(block_bytes(level) + coded_.size() * header_bytes) / static_cast<double>(coded_.size() * page_.bytes());
}

}  // namespace pikv::shards
