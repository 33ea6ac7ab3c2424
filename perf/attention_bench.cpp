// Question: how near to its limits does decode attention over pages run? One sequence, all keys visible. The two limits, measured in turn with it:
// a loop that only reads the same bytes, and a loop of as many fp32 multiply-adds in registers with the same SIMD target, all threads each.
// Run: attention_bench [--threads 2] [--repeats 51]; other shapes: --help. Prefill: --rows 256.
#include <fmt/core.h>
#include <omp.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <random>
#include <sstream>
#include <vector>

#include "kernels/attend.hpp"
#include "kernels/merge.hpp"
#include "kernels/swiglu.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "perf/attention_bench.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/host/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

float read_all(std::byte const* bytes, std::size_t count) {
  Floats const d;
  auto const* x = reinterpret_cast<float const*>(bytes);
  FloatVec a = hn::Zero(d), b = a, e = a, f = a;
  for (std::size_t i = 0; i + 4 * lanes <= count / sizeof(float); i += 4 * lanes) {
    a = hn::Or(a, hn::LoadU(d, x + i));
    b = hn::Or(b, hn::LoadU(d, x + i + lanes));
    e = hn::Or(e, hn::LoadU(d, x + i + 2 * lanes));
    f = hn::Or(f, hn::LoadU(d, x + i + 3 * lanes));
  }
  return hn::GetLane(hn::Or(hn::Or(a, b), hn::Or(e, f)));
}

float multiply_add(double count) {
  Floats const d;
  FloatVec sum[12];
  for (int i = 0; i < 12; ++i) sum[i] = hn::Set(d, static_cast<float>(i));
  FloatVec const a = hn::Set(d, 0.999f), b = hn::Set(d, 0.001f);
  for (double done = 0; done < count; done += 12.0 * lanes) {
    HWY_UNROLL(12)
    for (int i = 0; i < 12; ++i) sum[i] = hn::MulAdd(sum[i], a, b);
  }
  for (int i = 1; i < 12; ++i) sum[0] = hn::Add(sum[0], sum[i]);
  return hn::GetLane(sum[0]);
}

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pikv::kernels::host {
HWY_EXPORT(read_all);
HWY_EXPORT(multiply_add);
}  // namespace pikv::kernels::host

namespace {

using namespace pikv::kernels;

struct Shape {
  int rows, q_heads, kv_heads, head_dim, keys;
};

float volatile sink;

template <class Call>
double seconds(Call const& call) {
  auto const start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double least(std::vector<double> const& values) { return *std::min_element(values.begin(), values.end()); }

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

/// One group whose pages lie in shuffled slots, and what attend gives for it.
class Sequence {
 public:
  Sequence(Shape const& shape, int page_tokens)
      : shape_{shape},
        layout_{DType::bf16, shape.kv_heads, page_tokens, shape.head_dim},
        pages_{shape.keys / page_tokens},
        memory_(static_cast<std::size_t>(pages_) * slot_bytes()),
        q_(static_cast<std::size_t>(shape.rows) * shape.q_heads * shape.head_dim),
        row_offsets_{0, shape.rows},
        page_offsets_{0, pages_},
        slots_(pages_),
        first_position_(pages_),
        tokens_(pages_, page_tokens),
        row_position_(shape.rows, shape.keys) {
    std::mt19937 bits{1};
    std::normal_distribution<float> normal;
    for (float& x : q_) x = normal(bits);
    for (std::size_t i = 0; i < memory_.size() / 2; ++i) store_scalar(DType::bf16, memory_.data(), i, normal(bits));
    std::iota(slots_.begin(), slots_.end(), 0);
    std::shuffle(slots_.begin(), slots_.end(), bits);
    for (int page = 0; page < pages_; ++page) first_position_[page] = page * page_tokens;
    std::size_t const heads = static_cast<std::size_t>(shape.rows) * shape.q_heads;
    for (auto* out : {&host_, &reference_}) *out = {std::vector<float>(heads * shape.head_dim), std::vector<float>(heads), std::vector<float>(heads)};
  }

  void attend() { host::attend(pool(), plan(), q_.data(), shape_.q_heads, scale(), host_.view(), nullptr, stream_); }

  void check() {
    attend();
    reference::attend(pool(), plan(), q_.data(), shape_.q_heads, scale(), reference_.view(), nullptr);
    for (std::size_t i = 0; i < host_.sum.size(); ++i) {
      std::size_t const head = i / layout_.head_dim;
      float const got = host_.sum[i] / host_.denom[head], wanted = reference_.sum[i] / reference_.denom[head];
      if (std::abs(got - wanted) <= 1e-5f) continue;
      fmt::print(stderr, "attention_bench: number {} is {} where the reference has {}; nothing was timed\n", i, got, wanted);
      std::exit(1);
    }
  }

  void read() const {
#pragma omp parallel for schedule(static)
    for (int page = 0; page < pages_; ++page)
      if (HWY_DYNAMIC_DISPATCH(host::read_all)(memory_.data() + static_cast<std::size_t>(slots_[page]) * slot_bytes(), layout_.bytes()) == 1)
        sink = 1;
  }

  void multiply() const {
    int const threads = omp_get_max_threads();
#pragma omp parallel for schedule(static)
    for (int t = 0; t < threads; ++t)
      if (HWY_DYNAMIC_DISPATCH(host::multiply_add)(multiply_adds() / threads) == 1) sink = 1;
  }

  double bytes() const { return static_cast<double>(pages_) * static_cast<double>(layout_.bytes()); }
  double multiply_adds() const { return 2.0 * shape_.rows * shape_.q_heads * shape_.head_dim * shape_.keys; }

 private:
  struct Result {
    std::vector<float> sum, max, denom;
    PartialView view() { return {sum.data(), max.data(), denom.data()}; }
  };

  std::size_t slot_bytes() const { return (layout_.bytes() + 4095) / 4096 * 4096; }
  float scale() const { return 1 / std::sqrt(static_cast<float>(layout_.head_dim)); }
  PoolView pool() { return {memory_.data(), slot_bytes(), layout_}; }
  AttendPlan plan() const {
    return {1, row_offsets_.data(), page_offsets_.data(), slots_.data(), first_position_.data(), tokens_.data(), row_position_.data()};
  }

  Shape shape_;
  PageLayout layout_;
  int pages_;
  std::vector<std::byte> memory_;
  std::vector<float> q_;
  std::vector<std::int32_t> row_offsets_, page_offsets_, slots_, first_position_, tokens_, row_position_;
  Result host_, reference_;
  Stream stream_;
};

void measure(Shape const& shape, int page_tokens, int repeats) {
  Sequence sequence{shape, page_tokens};
  sequence.check();
  std::vector<double> attend, read, multiply, share;
  for (int i = 0; i < repeats; ++i) {
    attend.push_back(seconds([&] { sequence.attend(); }));
    read.push_back(seconds([&] { sequence.read(); }));
    multiply.push_back(seconds([&] { sequence.multiply(); }));
    share.push_back(std::max(read.back(), multiply.back()) / attend.back());
  }
  fmt::print("{:>4} {:>10.0f} {:>8.1f} {:>8.1f} {:>9.0f} {:>8.1f} {:>9.0f} {:>8.1f} {:>8.0f} % {:>8.0f} %\n", page_tokens, median(attend) * 1e6,
             sequence.bytes() / median(attend) / 1e9, sequence.multiply_adds() / median(attend) / 1e9, median(read) * 1e6,
             sequence.bytes() / median(read) / 1e9, median(multiply) * 1e6, sequence.multiply_adds() / median(multiply) / 1e9, median(share) * 100,
             std::max(least(read), least(multiply)) / least(attend) * 100);
}

}  // namespace

int main(int argc, char** argv) {
  namespace po = boost::program_options;
  Shape shape{};
  int threads = 0, repeats = 0;
  po::options_description options{"attention_bench"};
  options.add_options()("help", "this text")("threads", po::value(&threads)->default_value(omp_get_max_threads()), "OpenMP threads")(
      "repeats", po::value(&repeats)->default_value(51), "medians of so many")("rows", po::value(&shape.rows)->default_value(1), "query rows")(
      "q-heads", po::value(&shape.q_heads)->default_value(32), "")("kv-heads", po::value(&shape.kv_heads)->default_value(8), "")(
      "head-dim", po::value(&shape.head_dim)->default_value(128), "")("keys", po::value(&shape.keys)->default_value(16384), "a multiple of 64");
  po::variables_map given;
  try {
    po::store(po::parse_command_line(argc, argv, options), given);
    po::notify(given);
  } catch (po::error const& error) {
    fmt::print(stderr, "attention_bench: {}; see --help\n", error.what());
    return 2;
  }
  if (given.count("help")) {
    std::ostringstream text;
    text << options;
    fmt::print("{}", text.str());
    return 0;
  }
  omp_set_num_threads(threads);
  fmt::print("{} rows, {} query heads, {} KV heads, d {}, {} keys, bf16; {}, {} threads, medians of {}\n", shape.rows, shape.q_heads, shape.kv_heads,
             shape.head_dim, shape.keys, host::simd_target(), threads, repeats);
  fmt::print("page  attend us     GB/s   GMAC/s   read us     GB/s    fma us   GMAC/s   share of the slower limit: median, and of the best times\n");
  for (int page_tokens : {16, 32, 64}) measure(shape, page_tokens, repeats);
  return 0;
}
#endif
