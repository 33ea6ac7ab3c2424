#include <cstdlib>
#include <cstring>

#include "operations.hpp"
#include "targets.hpp"

namespace pikv::kernels {
namespace {

std::byte* take(std::size_t bytes) {   // NaN until written
  auto* const at = static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
  std::fill_n(at, bytes, std::byte{0xFF});
  return at;
}

void copy(void* to, void const* from, std::size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

Stream& stream() {
  static Stream only;
  return only;
}

void summarise(PoolView const& pool, std::int32_t const* slots, std::int32_t const* tokens, std::int32_t const* rows, std::int32_t pages,
               SummaryOut out, Stream&) {
  auto const page_scalars = static_cast<std::size_t>(pool.layout.kv_heads) * pool.layout.head_dim;
  for (std::int32_t page = 0; page < pages; ++page) {
    std::size_t const to = rows[page] * page_scalars;
    host::summarise(pool, slots[page], tokens[page], {out.lo + to, out.hi + to, out.mean + to});
  }
}

}  // namespace

Operations const host_operations{
    .take = take,
    .give_back = [](std::byte* at) { std::free(at); },
    .copy = copy,
    .stream = stream,
    .on_each_path = [](std::function<void()> const& body) { on_each_target(body); },
    .finish = host::finish,
    .rms_norm = host::rms_norm,
    .add = host::add,
    .gather_rows = host::gather_rows,
    .add_weighted = host::add_weighted,
    .rotary_table = host::rotary_table,
    .rotary = host::rotary,
    .append = host::append,
    .swiglu = host::swiglu,
    .gate = host::gate,
    .linear = host::linear,
    .linear_tiled = nullptr,
    .summarise = summarise,
    .upper_bounds = [](auto const& summaries, auto pages, auto* q, auto q_heads, auto* out,
                       Stream&) { host::upper_bounds(summaries, pages, q, q_heads, out); },
    .mean_logits = [](auto const& summaries, auto pages, auto* q, auto q_heads, auto* out,
                      Stream&) { host::mean_logits(summaries, pages, q, q_heads, out); },
    .gather = [](auto const& from, auto* slots, auto count, auto* block, Stream&) { reference::gather(from, slots, count, block); },
    .scatter = [](auto* block, auto* slots, auto count, auto const& to, Stream&) { reference::scatter(block, slots, count, to); },
    .checksum = nullptr,
};

}  // namespace pikv::kernels
