#include "shards/page_codecs.hpp"

#include <algorithm>
#include <string>

#include "comm/checksum.hpp"
#include "comm/error.hpp"
#include "shards/header.hpp"
#include "shards/mix.hpp"

namespace pikv::shards {

namespace {

kernels::Element element_of(kernels::DType type) {
  return type == kernels::DType::f32 ? kernels::Element::f32 : type == kernels::DType::bf16 ? kernels::Element::bf16 : kernels::Element::f16;
}

std::vector<kernels::LinearMap> views_of(StoredPart const& part) {
  std::vector<kernels::LinearMap> views;
  for (RankMap const& map : part.maps) views.push_back({map.rank, map.encode.data(), map.decode.data(), map.mean.data()});
  return views;
}

std::uint64_t hash_of(std::string_view text) { return comm::checksum(std::as_bytes(std::span{text})); }

std::uint64_t digest_of(StoredPart const& part, std::uint64_t seed) {
  seed = mix(seed ^ static_cast<std::uint64_t>(part.element));
  seed = mix(seed ^ static_cast<std::uint64_t>(part.own_rank));
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

PageCodecs::PageCodecs(kernels::PageLayout const& page, std::vector<TableCodec> tables) : page_{page}, specs_{std::move(tables)} {
  std::vector<std::size_t> sizes;
  bool wanted = false;
  for (TableCodec const& spec : specs_) {
    Coded& coded = coded_.emplace_back();
    digest_ = digest_of(spec.v, digest_of(spec.k, mix(digest_ ^ hash_of(spec.name))));
    if (spec.k.as_is(page.dtype) && spec.v.as_is(page.dtype)) continue;
    auto const k = views_of(spec.k), v = views_of(spec.v);
    wanted = true;
    coded.shape = std::make_unique<kernels::CodedShape>(page, kernels::PartSpec{spec.k.element, k, spec.k.own_rank},
                                                        kernels::PartSpec{spec.v.element, v, spec.v.own_rank});
    if (coded.shape->layout().bytes >= page.bytes()) {
      coded.shape.reset();
      continue;
    }
    coded.id = std::max<std::uint32_t>(1, static_cast<std::uint32_t>(hash_of(spec.name)));
    sizes.push_back(coded.shape->layout().bytes);
  }
  if (wanted && sizes.empty())
    throw InputError("the codec " + specs_.front().name + " makes no page smaller than its " + std::to_string(page.bytes()) +
                     " bytes; keep fewer numbers, add a type such as int8, or give a larger --page-tokens");
  class_bytes_ = classes_of(std::move(sizes), most_classes);
  for (Coded& coded : coded_)
    if (coded.shape)
      coded.size_class = 1 + static_cast<std::int32_t>(std::ranges::lower_bound(class_bytes_, coded.shape->layout().bytes) - class_bytes_.begin());
}

std::int32_t PageCodecs::tables_in(std::int32_t size_class) const {
  return static_cast<std::int32_t>(std::ranges::count(coded_, size_class, &Coded::size_class));
}

std::size_t PageCodecs::block_bytes() const {
  std::size_t bytes = 0;
  for (Coded const& coded : coded_) bytes += coded.shape ? coded.shape->layout().bytes : page_.bytes();
  return bytes;
}

double PageCodecs::stated_ratio() const {
  return static_cast<double>(block_bytes() + coded_.size() * header_bytes) / static_cast<double>(coded_.size() * page_.bytes());
}

}  // namespace pikv::shards
