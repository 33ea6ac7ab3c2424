#include "runtime/codec_choice.hpp"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "comm/error.hpp"
#include "runtime/cache_settings.hpp"

namespace pikv::runtime {

namespace {

bool maps_by_calibration(shards::CodecSpec const& spec) { return spec.map && spec.map->name != "chunk_pca"; }

shards::CodecSpec part_of(std::string const& own, std::string const& both, char const* option) {
  if (own.empty()) return shards::parse_codec(both, "--codec");
  shards::CodecSpec const spec = shards::parse_codec(own, option);
  if (spec.selection)
    throw InputError(fmt::format("{}={} selects tokens, which is for keys and values together; write {} in --codec", option, own, spec.selection->name));
  return spec;
}

shards::StoredPart stored_part(shards::CodecSpec const& spec, kernels::PageLayout const& page, char const* option) {
  shards::StoredPart part;
  part.element = spec.element.value_or(page.dtype == kernels::DType::f32    ? kernels::Element::f32
                                       : page.dtype == kernels::DType::bf16 ? kernels::Element::bf16
                                                                            : kernels::Element::f16);
  bool const quantised = part.element == kernels::Element::int8 || part.element == kernels::Element::int4;
  if (constexpr std::int32_t least = 8; quantised && page.page_tokens < least)
    throw InputError(fmt::format("{}={} quantises groups of tokens, and --page-tokens {} is fewer than {}; give --page-tokens {} or more", option, spec.text,
                                 page.page_tokens, least, least));
  if (spec.map && spec.map->name == "chunk_pca") {
    auto const rank = static_cast<std::int32_t>(spec.map->parameter.value_or(page.head_dim / 4));
    std::int32_t const most = page.page_tokens * page.head_dim / (page.page_tokens + page.head_dim);
    if (rank % 8 != 0 || rank > most)
      throw InputError(fmt::format("{}={}: with pages of {} tokens a page's own basis of rank {} saves nothing; give --page-tokens 256, and a multiple of 8 up to {}", option,
                                   spec.text, page.page_tokens, rank, most / 8 * 8));
    part.own_rank = rank;
  }
  return part;
}

}  // namespace

bool StorageChoice::wants_calibration() const { return maps_by_calibration(k) || maps_by_calibration(v); }

StorageChoice storage_choice(GenerateOptions const& options) {
  StorageChoice choice;
  choice.selection = shards::parse_codec(options.codec, "--codec").selection;
  choice.k = part_of(options.codec_k, options.codec, "--codec-k");
  choice.v = part_of(options.codec_v, options.codec, "--codec-v");
  return choice;
}

std::shared_ptr<shards::PageCodecs const> make_page_codecs(GenerateOptions const& options, ModelConfig const& config) {
  StorageChoice const choice = storage_choice(options);
  if (!choice.codes()) return nullptr;
  PageTables const tables = page_tables(options, config);
  shards::TableCodec codec;
  codec.name = choice.k.text == choice.v.text ? choice.k.text : choice.k.text + "/" + choice.v.text;
  codec.k = stored_part(choice.k, tables.layout, "--codec-k");
  codec.v = stored_part(choice.v, tables.layout, "--codec-v");
  return std::make_shared<shards::PageCodecs>(tables.layout, std::vector<shards::TableCodec>(static_cast<std::size_t>(tables.all), codec));
}

}  // namespace pikv::runtime
