#include "kernels/coded_page.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/dtype.hpp"
#include "kernels/own_basis.hpp"

namespace pikv::kernels {
namespace {

constexpr std::int32_t value_group = 32;

std::int32_t key_block(std::int32_t page_tokens) { return std::min(page_tokens, 32); }

template <class T>
T load_as(std::byte const* from, std::size_t at) {
  T x;
  std::memcpy(&x, from + at * sizeof(T), sizeof x);
  return x;
}

template <class T>
void store_as(std::byte* to, std::size_t at, T x) {
  std::memcpy(to + at * sizeof(T), &x, sizeof x);
}

std::size_t groups_of(Part part, std::int32_t page_tokens, std::int32_t width) {
  if (part == Part::keys) return static_cast<std::size_t>(page_tokens / key_block(page_tokens)) * width;
  return static_cast<std::size_t>((width + value_group - 1) / value_group) * page_tokens;
}

std::uint8_t code_of(float x, float lo, float step, std::int32_t top) {
  if (step == 0) return 0;
  return static_cast<std::uint8_t>(std::clamp(std::nearbyint((x - lo) / step), 0.0f, static_cast<float>(top)));
}

bool straddles(int bits, std::size_t bit) { return bit % 8 + static_cast<std::size_t>(bits) > 8; }

// Codes start as zeros.
void store_code(int bits, std::byte* codes, std::size_t bit, std::uint8_t code) {
  codes[bit / 8] |= static_cast<std::byte>(code << bit % 8);
  if (straddles(bits, bit)) codes[bit / 8 + 1] |= static_cast<std::byte>(code >> (8 - bit % 8));
}

unsigned load_code(int bits, std::byte const* codes, std::size_t bit) {
  auto word = std::to_integer<unsigned>(codes[bit / 8]);
  if (straddles(bits, bit)) word |= std::to_integer<unsigned>(codes[bit / 8 + 1]) << 8;
  return word >> bit % 8 & static_cast<unsigned>(top_code(bits));
}

// Of number `at` of eight in a word of 8 * bits.
std::size_t bit_in_word(int bits, std::size_t at) { return bits == 4 ? at % 4 * 8 + at / 4 * 4 : at * static_cast<std::size_t>(bits); }

// Of the strips of a head together.
std::size_t strip_bits(CodedHead const& head) {
  CodedStrip const& last = head.strips[head.width / strip_numbers - 1];
  return last.before + last.bits;
}

}  // namespace

std::size_t code_bytes(Element element, Part part, std::int32_t page_tokens, CodedHead const& head) {
  std::size_t const tokens = element == Element::bf16 && part == Part::values ? (page_tokens + 1) / 2 * 2 : page_tokens;
  std::size_t const numbers = tokens * head.width;
  switch (element) {
    case Element::f32:
      return 4 * numbers;
    case Element::bf16:
    case Element::f16:
      return 2 * numbers;
    case Element::int4:
      return numbers / 2;
    case Element::int3:
      return numbers / 8 * 3;
    case Element::int2:
      return numbers / 4;
    case Element::mixed:
      return tokens * strip_bits(head);
    default:
      return numbers;
  }
}

std::size_t scale_bytes(Element element, Part part, std::int32_t page_tokens, std::int32_t width) {
  if (element == Element::fp8) return sizeof(float);
  std::size_t const of_group = element == Element::mixed ? sizeof(ZeroStep) : sizeof(LoStep);
  return has_steps(element) ? of_group * groups_of(part, page_tokens, width) : 0;
}

std::size_t basis_bytes(std::int32_t head_dim, std::int32_t rank) {
  return sizeof(float) * (static_cast<std::size_t>(head_dim) + rank) + static_cast<std::size_t>(head_dim) * rank;
}

std::uint8_t to_e4m3(float x) {
  auto const bits = std::bit_cast<std::uint32_t>(x);
  auto const sign = static_cast<std::uint8_t>(bits >> 24 & 0x80u);
  float const magnitude = std::abs(x);
  if (magnitude >= 448) return sign | 0x7E;
  if (magnitude < 0x1p-6f) return static_cast<std::uint8_t>(sign | static_cast<std::uint8_t>(std::nearbyint(magnitude * 512)));
  std::uint32_t const rest = bits & 0x7FFFFFFFu, rounded = rest + 0x7FFFFu + (rest >> 20 & 1u);
  return static_cast<std::uint8_t>(sign | std::min((rounded - (120u << 23)) >> 20, 0x7Eu));
}

float from_e4m3(std::uint8_t code) {
  auto const half = static_cast<std::uint16_t>((code & 0x80u) << 8 | (code & 0x7Fu) << 7);
  return from_f16(half) * 256;
}

LoStep lo_step(float lo, float hi, std::int32_t top_code) {
  constexpr float most = 65504;
  lo = std::clamp(lo, -most, most);
  hi = std::clamp(hi, -most, most);
  std::uint16_t low = to_f16(lo);
  if (from_f16(low) > lo) low = low == 0 ? 0x8001 : low & 0x8000u ? static_cast<std::uint16_t>(low + 1) : static_cast<std::uint16_t>(low - 1);
  float const stored = from_f16(low), top = static_cast<float>(top_code);
  if (stored >= hi) return {low, 0};
  std::uint16_t step = to_f16((hi - stored) / top);
  while (step > 0 && std::fma(from_f16(static_cast<std::uint16_t>(step - 1)), top, stored) >= hi) --step;
  while (std::fma(from_f16(step), top, stored) < hi) ++step;
  return {low, step};
}

float from_step(std::uint8_t step) { return from_f16(static_cast<std::uint16_t>(step << 7)); }

ZeroStep zero_step(float lo, float hi, std::int32_t top_code) {
  constexpr float least_zero = -128, most_zero = 127;
  auto const top = static_cast<float>(top_code);
  if (lo == 0 && hi == 0) return {0, 0};
  if (!(lo <= hi)) return {0, most_step};   // not a number
  float const least = std::max({(hi - lo) / top, lo / least_zero, hi / (most_zero + top)});
  auto step = static_cast<std::uint8_t>(std::clamp(to_f16(std::min(least, 60000.0f)) >> 7, 1, static_cast<int>(most_step)));
  for (;; ++step) {
    float const size = from_step(step);
    float zero = std::clamp(std::floor(lo / size), least_zero, most_zero);
    if (zero * size > lo && zero > least_zero) --zero;
    if ((zero * size <= lo && (zero + top) * size >= hi) || step == most_step) return {static_cast<std::int8_t>(zero), step};
  }
}

float error_from(double squared) { return static_cast<float>(std::sqrt(squared) * 1.0001) + 1e-30f * (squared > 0); }

CodedPart::CodedPart(CodedLayout const& layout, Part part, std::int32_t kv_head)
    : page_tokens_{layout.page_tokens},
      head_dim_{layout.head_dim},
      part_{part},
      element_{part == Part::keys ? layout.k_element : layout.v_element},
      head_{(part == Part::keys ? layout.k : layout.v)[kv_head]},
      map_{part == Part::keys ? layout.k_map : layout.v_map} {
  if (map_) map_ += kv_head;
}

std::size_t CodedPart::place(std::int32_t token, std::int32_t number) const {
  bool const keys = part_ == Part::keys;
  std::size_t const across = keys ? page_tokens_ : head_.width, along = keys ? number : token, lane = keys ? token : number;
  switch (element_) {
    case Element::bf16:
      return (along / 2 * across + lane) * 2 + along % 2;
    case Element::int8:   // of integers in bits
      return (along / 4 * across + lane) * 32 + along % 4 * 8;
    case Element::int4:
    case Element::int3:
    case Element::int2: {
      int const bits = code_bits(element_);
      return (along / 8 * across + lane) * 8 * static_cast<std::size_t>(bits) + bit_in_word(bits, along % 8);
    }
    case Element::mixed: {   // of keys strip by strip, of values those of 8 tokens strip by strip
      CodedStrip const strip = head_.strips[number / strip_numbers];
      std::size_t const before = keys ? strip.before * across : along / 8 * 8 * strip_bits(head_) + strip.before * std::size_t{8};
      return (before + (keys ? lane : lane % 8) * strip.bits) * 8 + bit_in_word(strip.bits, along % 8);
    }
    default:
      return along * across + lane;
  }
}

int CodedPart::bits(std::int32_t number) const { return element_ == Element::mixed ? head_.strips[number / strip_numbers].bits : code_bits(element_); }

std::size_t CodedPart::groups() const { return groups_of(part_, page_tokens_, head_.width); }

std::size_t CodedPart::group(std::int32_t token, std::int32_t number) const {
  if (part_ == Part::keys) return static_cast<std::size_t>(token / key_block(page_tokens_)) * head_.width + number;
  return static_cast<std::size_t>(number / value_group) * page_tokens_ + token;
}

void CodedPart::store_scales(float const* numbers, std::byte* page) const {
  std::size_t const count = static_cast<std::size_t>(page_tokens_) * head_.width;
  std::byte* const scales = page + head_.scales;
  if (element_ == Element::fp8) {
    float most = 0;
    for (std::size_t i = 0; i < count; ++i) most = std::max(most, std::abs(numbers[i]));
    return store_as(scales, 0, most / 448);
  }
  std::vector<float> lo(groups(), std::numeric_limits<float>::infinity()), hi(groups(), -std::numeric_limits<float>::infinity());
  for (std::int32_t token = 0; token < page_tokens_; ++token)
    for (std::int32_t i = 0; i < head_.width; ++i) {
      std::size_t const at = group(token, i);
      float const x = numbers[token * head_.width + i];
      lo[at] = std::min(lo[at], x);
      hi[at] = std::max(hi[at], x);
    }
  for (std::size_t at = 0; at < groups(); ++at) {
    std::size_t const number = part_ == Part::keys ? at % head_.width : at / page_tokens_ * value_group;
    std::int32_t const top = top_code(bits(static_cast<std::int32_t>(number)));
    if (element_ == Element::mixed) {
      ZeroStep const pair = zero_step(lo[at], hi[at], top);
      store_as(scales, at, pair.zero);
      store_as(scales, groups() + at, pair.step);
    } else {
      LoStep const pair = lo_step(lo[at], hi[at], top);
      store_as(scales, at, pair.lo);
      store_as(scales, groups() + at, pair.step);
    }
  }
}

CodedPart::LowStep CodedPart::low_step(std::byte const* page, std::int32_t token, std::int32_t number) const {
  std::byte const* const scales = page + head_.scales;
  std::size_t const at = group(token, number);
  if (element_ != Element::mixed) return {from_f16(load_as<std::uint16_t>(scales, at)), from_f16(load_as<std::uint16_t>(scales, groups() + at))};
  float const step = from_step(load_as<std::uint8_t>(scales, groups() + at));
  return {static_cast<float>(load_as<std::int8_t>(scales, at)) * step, step};
}

void CodedPart::store(float const* numbers, std::byte* page) const {
  std::byte* const codes = page + head_.codes;
  std::memset(codes, 0, code_bytes(element_, part_, page_tokens_, head_));
  if (has_steps(element_) || element_ == Element::fp8) store_scales(numbers, page);
  std::byte const* const scales = page + head_.scales;
  float const* const feedback = part_ == Part::keys && has_steps(element_) && map_ ? map_->feedback : nullptr;
  std::vector<float> fed;   // what the errors of earlier numbers have made of a token's
  for (std::int32_t token = 0; token < page_tokens_; ++token) {
    fed.assign(numbers + token * head_.width, numbers + (token + 1) * head_.width);
    for (std::int32_t i = 0; i < head_.width; ++i) {
      float const x = fed[static_cast<std::size_t>(i)];
      std::size_t const at = place(token, i);
      if (element_ == Element::f32) store_as(codes, at, x);
      if (element_ == Element::bf16) store_as(codes, at, to_bf16(x));
      if (element_ == Element::f16) store_as(codes, at, to_f16(std::clamp(x, -65504.0f, 65504.0f)));
      if (element_ == Element::fp8) {
        auto const scale = load_as<float>(scales, 0);
        store_as(codes, at, scale > 0 ? to_e4m3(x / scale) : std::uint8_t{0});
      }
      if (!has_steps(element_)) continue;
      auto const [lo, step] = low_step(page, token, i);
      std::uint8_t const code = code_of(x, lo, step, top_code(bits(i)));
      store_code(bits(i), codes, at, code);
      if (!feedback) continue;
      float const error = x - std::fma(step, static_cast<float>(code), lo);
      for (std::int32_t j = i + 1; j < head_.rank; ++j) fed[static_cast<std::size_t>(j)] = std::fma(feedback[i * head_.rank + j], error, fed[static_cast<std::size_t>(j)]);
    }
  }
}

float CodedPart::load(std::byte const* page, std::int32_t token, std::int32_t number) const {
  std::byte const* const codes = page + head_.codes;
  std::byte const* const scales = page + head_.scales;
  std::size_t const at = place(token, number);
  if (element_ == Element::f32) return load_as<float>(codes, at);
  if (element_ == Element::bf16) return from_bf16(load_as<std::uint16_t>(codes, at));
  if (element_ == Element::f16) return from_f16(load_as<std::uint16_t>(codes, at));
  if (element_ == Element::fp8) return from_e4m3(load_as<std::uint8_t>(codes, at)) * load_as<float>(scales, 0);
  auto const [lo, step] = low_step(page, token, number);
  return std::fma(step, static_cast<float>(load_code(bits(number), codes, at)), lo);
}

void CodedPart::load(std::byte const* page, float* numbers) const {
  for (std::int32_t token = 0; token < page_tokens_; ++token)
    for (std::int32_t i = 0; i < head_.width; ++i) *numbers++ = load(page, token, i);
}

CodedPart::Decoder CodedPart::decoder(std::byte const* page) const {
  if (has_own_basis()) {
    OwnBasis basis = load_own_basis(page + head_.basis, head_dim_, head_.rank);
    return {std::move(basis.decode), std::move(basis.mean)};
  }
  if (!map_ || map_->identity()) return {};
  std::size_t const d = head_dim_;
  return {{map_->decode, map_->decode + d * head_.rank}, {map_->mean, map_->mean + d}};
}

void CodedPart::rebuild(Decoder const& decoder, float const* numbers, float* vectors) const {
  for (std::int32_t token = 0; token < page_tokens_; ++token, numbers += head_.width, vectors += head_dim_) {
    if (decoder.identity()) {
      std::copy_n(numbers, head_dim_, vectors);
      continue;
    }
    for (std::int32_t i = 0; i < head_dim_; ++i) {
      double sum = decoder.mean[i];
      for (std::int32_t j = 0; j < head_.rank; ++j) sum += static_cast<double>(decoder.decode[i * head_.rank + j]) * numbers[j];
      vectors[i] = static_cast<float>(sum);
    }
  }
}

}  // namespace pikv::kernels
