#include "shards/recoder.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "shards/page_forms.hpp"
#include "shards/stopwatch.hpp"

namespace pikv::shards {

namespace {

float round_up(float a, float b) { return std::nextafter(a + b, std::numeric_limits<float>::infinity()); }

}  // namespace

Recoder::Recoder(Arena& arena, StoreOptions const& options) : arena_{arena}, options_{options}, numbers_{arena.device()} {
  if (recodes(options)) numbers_.resize(2 * static_cast<std::size_t>(options.layout.kv_heads) * options.layout.head_scalars());
}

void Recoder::recode(std::int32_t table, Slot warm, Slot cold, std::uint64_t generation) {
  Stopwatch const watch{seconds_};
  PageCodecs const& codecs = *options_.codecs;
  kernels::CodedForm const& form = options_.forms->at(table, Level::cold);
  kernels::Device& device = arena_.device();
  std::byte* const to = arena_.payload(cold).data();
  if (arena_.size_class(warm) == 0) {
    device.encode(arena_.view(0), arena_.place(warm), form, to);
  } else {
    kernels::PageLayout exact = options_.layout;
    exact.dtype = kernels::DType::f32;
    kernels::PoolView const numbers{reinterpret_cast<std::byte*>(numbers_.data()), exact.bytes(), exact};
    device.decode(options_.forms->at(table, Level::warm), arena_.payload(warm).data(), numbers, 0);
    device.encode(numbers, 0, form, to);
    add_errors(table, warm, cold);
  }
  PageHeader& header = arena_.header(cold);
  header = arena_.header(warm);
  header.codec = codecs.id(table, Level::cold);
  header.generation = generation;
  header.push = 0;
  arena_.seal(header, cold, form.layout().bytes);
  arena_.book(cold, form.layout().bytes, false);
}

void Recoder::add_errors(std::int32_t table, Slot warm, Slot cold) {
  auto const heads = static_cast<std::size_t>(options_.layout.kv_heads);
  sums_.resize(2 * heads);   // keys' and values', by KV head
  kernels::CodedErrors const after = arena_.errors(cold, options_.codecs->layout(table, Level::cold));
  std::ranges::copy(after.v, std::ranges::copy(after.k, sums_.begin()).out);
  kernels::CodedErrors const before = arena_.errors(warm, options_.codecs->layout(table));
  auto error = sums_.begin();
  for (auto const part : {before.k, before.v})
    for (float const e : part) {
      if (e > 0) *error = round_up(*error, e);
      ++error;
    }
  kernels::copy_in<float>(arena_.device(), reinterpret_cast<float*>(arena_.payload(cold).data()), sums_);
}

}  // namespace pikv::shards
