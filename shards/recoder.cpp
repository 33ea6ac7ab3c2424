#include "shards/recoder.hpp"

#include <cmath>
#include <limits>
#include <span>

#include "shards/page_codecs.hpp"
#include "shards/stopwatch.hpp"

namespace pikv::shards {

namespace {

float round_up(float a, float b) { return std::nextafter(a + b, std::numeric_limits<float>::infinity()); }

void add_errors(kernels::CodedErrors const& before, std::byte* page) {
  auto* error = reinterpret_cast<float*>(page);   // keys' and values', by KV head
  for (auto const part : {before.k, before.v})
    for (float const e : part) {
      if (e > 0) *error = round_up(*error, e);
      ++error;
    }
}

}  // namespace

Recoder::Recoder(Arena& arena, StoreOptions const& options) : arena_{arena}, options_{options} {
  if (recodes(options)) numbers_.resize(2 * static_cast<std::size_t>(options.layout.kv_heads) * options.layout.head_scalars());
}

void Recoder::recode(std::int32_t table, Slot warm, Slot cold, std::uint64_t generation) {
  Stopwatch const watch{seconds_};
  PageCodecs const& codecs = *options_.codecs;
  kernels::CodedLayout const layout = codecs.layout(table, Level::cold);
  std::byte* const to = arena_.payload(cold).data();
  if (arena_.size_class(warm) == 0) {
    kernels::host::encode_page(arena_.view(0), arena_.place(warm), layout, to);
  } else {
    kernels::PageLayout exact = options_.layout;
    exact.dtype = kernels::DType::f32;
    kernels::PoolView const numbers{reinterpret_cast<std::byte*>(numbers_.data()), exact.bytes(), exact};
    kernels::host::decode_page(codecs.layout(table), arena_.payload(warm).data(), numbers, 0);
    kernels::host::encode_page(numbers, 0, layout, to);
    add_errors(kernels::coded_errors(codecs.layout(table), arena_.payload(warm).data()), to);
  }
  PageHeader& header = arena_.header(cold);
  header = arena_.header(warm);
  header.codec = codecs.id(table, Level::cold);
  header.generation = generation;
  header.push = 0;
  seal(header, arena_.payload(cold).first(layout.bytes), options_.layout);
  arena_.book(cold, layout.bytes, false);
}

}  // namespace pikv::shards
