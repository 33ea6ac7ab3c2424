#include <algorithm>
#include <vector>

#include "kernels/coded_page.hpp"
#include "kernels/own_basis.hpp"

namespace pikv::kernels::reference {
namespace {

void encode_vectors(LinearMap const& map, float const* vectors, std::int32_t tokens, std::int32_t head_dim, std::int32_t width, float* numbers) {
  for (std::int32_t t = 0; t < tokens; ++t)
    for (std::int32_t j = 0; j < width; ++j) {
      double sum = 0;
      if (map.identity())
        sum = j < head_dim ? vectors[t * head_dim + j] : 0;
      else if (j < map.rank)
        for (std::int32_t i = 0; i < head_dim; ++i)
          sum += static_cast<double>(map.encode[j * head_dim + i]) * (static_cast<double>(vectors[t * head_dim + i]) - map.mean[i]);
      numbers[t * width + j] = static_cast<float>(sum);
    }
}

/// Returns the largest distance of a vector from what is stored for it.
float encode_head(CodedLayout const& layout, Part part, std::int32_t kv_head, float const* vectors, std::byte* page) {
  CodedPart const coded{layout, part, kv_head};
  std::int32_t const tokens = layout.page_tokens, d = layout.head_dim, rank = coded.head().rank, width = coded.head().width;
  std::vector<float> numbers(static_cast<std::size_t>(tokens) * width), back(static_cast<std::size_t>(tokens) * d);
  LinearMap const* maps = part == Part::keys ? layout.k_map : layout.v_map;
  if (coded.has_own_basis()) {
    store_own_basis(vectors, tokens, d, rank, page + coded.head().basis);
    coordinates(load_own_basis(page + coded.head().basis, d, rank), vectors, tokens, d, rank, width, numbers.data());
  } else {
    encode_vectors(maps ? maps[kv_head] : LinearMap{}, vectors, tokens, d, width, numbers.data());
  }
  coded.store(numbers.data(), page);
  coded.load(page, numbers.data());
  coded.rebuild(coded.decoder(page), numbers.data(), back.data());
  double most = 0;
  for (std::int32_t t = 0; t < tokens; ++t) {
    double squared = 0;
    for (std::int32_t i = t * d; i < (t + 1) * d; ++i)
      squared += (static_cast<double>(vectors[i]) - back[i]) * (static_cast<double>(vectors[i]) - back[i]);
    most = std::max(most, squared);
  }
  return error_from(most);
}

}  // namespace

void encode_page(PoolView const& from, std::int32_t slot, CodedLayout const& layout, std::byte* to) {
  std::size_t const scalars = from.layout.head_scalars();
  std::vector<float> vectors(scalars);
  std::fill_n(to, layout.bytes, std::byte{0});
  auto* errors = reinterpret_cast<float*>(to);
  for (Part part : {Part::keys, Part::values})
    for (std::int32_t head = 0; head < layout.kv_heads; ++head) {
      std::byte const* half = part == Part::keys ? from.keys(slot) : from.values(slot);
      for (std::size_t i = 0; i < scalars; ++i) vectors[i] = load_scalar(from.layout.dtype, half, head * scalars + i);
      *errors++ = encode_head(layout, part, head, vectors.data(), to);
    }
}

void decode_page(CodedLayout const& layout, std::byte const* from, PoolView const& to, std::int32_t slot) {
  std::size_t const scalars = to.layout.head_scalars();
  std::vector<float> vectors(scalars);
  for (Part part : {Part::keys, Part::values})
    for (std::int32_t head = 0; head < layout.kv_heads; ++head) {
      CodedPart const coded{layout, part, head};
      std::vector<float> numbers(static_cast<std::size_t>(layout.page_tokens) * coded.head().width);
      coded.load(from, numbers.data());
      coded.rebuild(coded.decoder(from), numbers.data(), vectors.data());
      std::byte* half = part == Part::keys ? to.keys(slot) : to.values(slot);
      for (std::size_t i = 0; i < scalars; ++i) store_scalar(to.layout.dtype, half, head * scalars + i, vectors[i]);
    }
}

}  // namespace pikv::kernels::reference
