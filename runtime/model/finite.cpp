#include "runtime/model/finite.hpp"

#include <algorithm>

namespace pikv::runtime {
namespace {

constexpr std::size_t block = 1024;   // a fixed count, so that the compiler vectorises the inner loop

template <class Word>
bool none_has(Word exponent, Word const* words, std::size_t count) {
  while (count >= block) {
    Word found = 0;
    for (std::size_t i = 0; i < block; ++i) found = static_cast<Word>(found | ((words[i] & exponent) == exponent));
    if (found != 0) return false;
    words += block;
    count -= block;
  }
  return std::none_of(words, words + count, [=](Word word) { return (word & exponent) == exponent; });
}

}   // namespace

bool all_finite(TensorView const& tensor) {
  auto const count = static_cast<std::size_t>(tensor.count());
  if (tensor.dtype == kernels::DType::f32) return none_has(std::uint32_t{0x7F800000}, static_cast<std::uint32_t const*>(tensor.data), count);
  auto const exponent = tensor.dtype == kernels::DType::bf16 ? std::uint16_t{0x7F80} : std::uint16_t{0x7C00};
  return none_has(exponent, static_cast<std::uint16_t const*>(tensor.data), count);
}

}   // namespace pikv::runtime
