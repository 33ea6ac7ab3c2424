// Question: how near to its limits does decode attention over pages run, plain and coded, and what do coded pages gain? One sequence, all keys
// visible. The two limits, measured in turn with it: a loop that only reads the same bytes, and a loop of as many multiply-adds in registers with the
// instruction used, all threads each: fp32 FMA of the same SIMD target; VNNI, twice as many since a query's numbers are two bytes; or full tiles of AMX,
// of which terms of the queries and zeros take a part.
// Run: attention_bench [--threads 2] [--repeats 51] [--page-tokens 32]; other shapes: --help. Prefill: --rows 256.
// Where other programs run: OMP_WAIT_POLICY=passive attention_bench --cpu-time
#include <fmt/core.h>
#include <omp.h>
#include <sys/mman.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <numeric>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "dot_loops.hpp"
#include "kernels/attend.hpp"
#include "kernels/coded.hpp"
#include "kernels/host/tiles.hpp"
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
  HWY_UNROLL(12)
  for (int i = 0; i < 12; ++i) sum[i] = hn::Set(d, static_cast<float>(i));
  FloatVec const a = hn::Set(d, 0.999f), b = hn::Set(d, 0.001f);
  for (auto left = static_cast<long>(count / (24.0 * lanes)); left > 0; --left) {
    HWY_UNROLL(24)
    for (int i = 0; i < 24; ++i) sum[i % 12] = hn::MulAdd(sum[i % 12], a, b);
  }
  HWY_UNROLL(12)
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
  int rows, q_heads, kv_heads, head_dim, keys, page_tokens;
};

float volatile sink;

bool by_cpu_time = false;

/// Of the clock on the wall; or of the processors at work for this process alone, over the threads.
double now() {
  timespec time{};
  ::clock_gettime(by_cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return (static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec)) / (by_cpu_time ? omp_get_max_threads() : 1);
}

template <class Call>
double seconds(Call const& call) {
  double const start = now();
  call();
  return now() - start;
}

double least(std::vector<double> const& values) { return *std::min_element(values.begin(), values.end()); }

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

/// Zeroed memory from a multiple of 2 MiB, in huge pages where the system gives them, as comm/zeroed_memory.cpp has it.
class Memory {
 public:
  explicit Memory(std::size_t bytes) : bytes_{(bytes + huge - 1) / huge * huge}, data_{static_cast<std::byte*>(std::aligned_alloc(huge, bytes_))} {
    ::madvise(data_.get(), bytes_, MADV_HUGEPAGE);
    std::fill_n(data_.get(), bytes_, std::byte{0});
  }
  std::byte* data() const { return data_.get(); }

 private:
  static constexpr std::size_t huge = 2u << 20;
  struct Free {
    void operator()(std::byte* at) const { std::free(at); }
  };
  std::size_t bytes_;
  std::unique_ptr<std::byte, Free> data_;
};

struct Result {
  std::vector<float> sum, max, denom;
  explicit Result(Shape const& s)
      : sum(static_cast<std::size_t>(s.rows) * s.q_heads * s.head_dim), max(static_cast<std::size_t>(s.rows) * s.q_heads), denom(max.size()) {}
  PartialView view() { return {sum.data(), max.data(), denom.data()}; }
  double distance(Result const& other) const {
    double most = 0;
    for (std::size_t i = 0; i < sum.size(); ++i) {
      std::size_t const head = i / (sum.size() / max.size());
      most = std::max(most, std::abs(static_cast<double>(sum[i]) / denom[head] - static_cast<double>(other.sum[i]) / other.denom[head]));
    }
    return most;
  }
};

/// One group whose pages lie in shuffled slots, as plain pages of bf16.
struct Sequence {
  explicit Sequence(Shape const& of)
      : shape{of},
        layout{DType::bf16, of.kv_heads, of.page_tokens, of.head_dim},
        pages{of.keys / of.page_tokens},
        slot_bytes{(layout.bytes() + 4095) / 4096 * 4096},
        memory{static_cast<std::size_t>(pages) * slot_bytes},
        q(static_cast<std::size_t>(of.rows) * of.q_heads * of.head_dim),
        row_offsets{0, of.rows},
        page_offsets{0, pages},
        slots(pages),
        first_position(pages),
        tokens(pages, of.page_tokens),
        row_position(of.rows, of.keys) {
    std::mt19937 bits{1};
    std::normal_distribution<float> normal;
    for (float& x : q) x = normal(bits);
    for (std::size_t i = 0; i < pages * slot_bytes / 2; ++i) store_scalar(DType::bf16, memory.data(), i, normal(bits));
    std::iota(slots.begin(), slots.end(), 0);
    std::shuffle(slots.begin(), slots.end(), bits);
    for (int page = 0; page < pages; ++page) first_position[page] = page * of.page_tokens;
  }
  float scale() const { return 1 / std::sqrt(static_cast<float>(shape.head_dim)); }
  PoolView pool() const { return {memory.data(), slot_bytes, layout}; }
  AttendPlan plan() const {
    return {1, row_offsets.data(), page_offsets.data(), slots.data(), first_position.data(), tokens.data(), row_position.data()};
  }

  Shape shape;
  PageLayout layout;
  int pages;
  std::size_t slot_bytes;
  Memory memory;
  std::vector<float> q;
  std::vector<std::int32_t> row_offsets, page_offsets, slots, first_position, tokens, row_position;
};

enum class Instruction { fma, vnni, amx };

/// One way to store the sequence's pages: what attends on them, the bytes it reads, and its multiply-adds.
class Stored {
 public:
  Stored(Sequence const& sequence, std::string called)
      : name{std::move(called)}, sequence_{sequence}, result_{sequence.shape}, wanted_{sequence.shape} {}
  virtual ~Stored() = default;
  virtual void attend(Result& to) = 0;
  virtual void attend_by_reference(Result& to) = 0;
  virtual std::byte const* page(int slot) const = 0;
  virtual std::size_t page_bytes() const = 0;
  virtual Instruction instruction() const = 0;
  virtual double multiply_adds() const = 0;   // of that instruction
  std::string used() const { return instruction() == Instruction::fma ? "FMA" : instruction() == Instruction::vnni ? "VNNI" : "AMX"; }

  void check(double tolerance) {
    attend(result_);
    attend_by_reference(wanted_);
    double const off = result_.distance(wanted_);
    if (off <= tolerance) return;
    fmt::print(stderr, "attention_bench: {} is off by {} from the reference; nothing was timed\n", name, off);
    std::exit(1);
  }
  double bytes() const { return static_cast<double>(sequence_.pages) * static_cast<double>(page_bytes()); }
  void read() const {
#pragma omp parallel for schedule(static)
    for (int i = 0; i < sequence_.pages; ++i)
      if (HWY_DYNAMIC_DISPATCH(host::read_all)(page(sequence_.slots[i]), page_bytes()) == 1) sink = 1;
  }
  void multiply() const {
    int const threads = omp_get_max_threads();
#pragma omp parallel for schedule(static)
    for (int t = 0; t < threads; ++t) {
      double const count = multiply_adds() / threads;
      if (instruction() == Instruction::vnni ? pikv::perf::multiply_bytes(count) == 1
          : instruction() == Instruction::amx ? pikv::perf::multiply_tiles(count) == 1
                                              : HWY_DYNAMIC_DISPATCH(host::multiply_add)(count) == 1)
        sink = 1;
    }
  }
  void time_attend() { attend_seconds.push_back(seconds([&] { attend(result_); })); }
  void time_read() { read_seconds.push_back(seconds([&] { read(); })); }
  void time_multiply() {
    multiply_seconds.push_back(seconds([&] { multiply(); }));
    shares.push_back(std::max(read_seconds.back(), multiply_seconds.back()) / attend_seconds.back());
  }

  std::string name;
  std::vector<double> attend_seconds, read_seconds, multiply_seconds, shares;

 protected:
  Sequence const& sequence_;
  Stream stream_;

 private:
  Result result_, wanted_;
};

class Plain : public Stored {
 public:
  explicit Plain(Sequence const& sequence) : Stored{sequence, "plain bf16"} {}
  void attend(Result& to) override {
    host::attend(sequence_.pool(), sequence_.plan(), sequence_.q.data(), sequence_.shape.q_heads, sequence_.scale(), to.view(), nullptr, stream_);
  }
  void attend_by_reference(Result& to) override {
    reference::attend(sequence_.pool(), sequence_.plan(), sequence_.q.data(), sequence_.shape.q_heads, sequence_.scale(), to.view(), nullptr);
  }
  std::byte const* page(int slot) const override { return sequence_.pool().keys(slot); }
  std::size_t page_bytes() const override { return sequence_.layout.bytes(); }
  int records() const { return sequence_.shape.rows * sequence_.shape.q_heads / sequence_.shape.kv_heads; }
  Instruction instruction() const override { return host::tile_kernels() && records() <= 32 ? Instruction::amx : Instruction::fma; }
  double multiply_adds() const override {
    Shape const& s = sequence_.shape;
    if (instruction() == Instruction::amx) {   // four records: a tile for keys and one for values of 16 tokens and 32 numbers
      int const fours = (records() + 3) / 4;
      return 2.0 * fours * s.kv_heads * (s.keys / 16.0) * (s.head_dim / 32.0) * 16 * 16 * 32;
    }
    return 2.0 * s.rows * s.q_heads * s.head_dim * s.keys;
  }
};

class Coded : public Stored {
 public:
  Coded(Sequence const& sequence, std::string called, Element element, int rank)
      : Stored{sequence, std::move(called)}, element_{element}, rank_{rank}, matrix_(static_cast<std::size_t>(rank) * sequence.shape.head_dim) {
    std::size_t const d = sequence.shape.head_dim;
    std::mt19937 bits{3};
    std::normal_distribution<float> normal{0, 1 / std::sqrt(static_cast<float>(d))};
    for (float& x : matrix_) x = normal(bits);
    mean_.assign(d, 0.1f);
    std::vector<LinearMap> maps;
    if (rank < sequence.shape.head_dim) maps.assign(sequence.shape.kv_heads, {rank, matrix_.data(), matrix_.data(), mean_.data()});
    std::vector<std::vector<std::uint8_t>> strips(sequence.shape.kv_heads);   // of mixed: half of the numbers 4, half 3
    for (auto& head : strips)
      for (int strip = 0; strip < rank / strip_numbers; ++strip) head.push_back(2 * strip_numbers * strip < rank ? 4 : 3);
    shape_ = std::make_unique<CodedShape>(sequence.layout, PartSpec{element, maps, 0, strips}, PartSpec{element, maps, 0, strips});
    std::size_t const slot_bytes = shape_->layout().bytes;
    memory_ = std::make_unique<Memory>(slot_bytes * sequence.pages);
    pool_ = {memory_->data(), slot_bytes, shape_->layout()};
    for (int slot = 0; slot < sequence.pages; ++slot) host::encode_page(sequence.pool(), slot, pool_.layout, pool_.page(slot));
  }
  void attend(Result& to) override {
    host::attend_coded(pool_, sequence_.plan(), sequence_.q.data(), sequence_.shape.q_heads, sequence_.scale(), to.view(), nullptr, stream_);
  }
  void attend_by_reference(Result& to) override {
    reference::attend_coded(pool_, sequence_.plan(), sequence_.q.data(), sequence_.shape.q_heads, sequence_.scale(), to.view(), nullptr);
  }
  std::byte const* page(int slot) const override { return pool_.page(slot); }
  std::size_t page_bytes() const override { return pool_.layout.bytes; }
  double multiply_adds() const override {
    Shape const& s = sequence_.shape;
    return 2.0 * s.rows * s.q_heads * rank_ * s.keys * (instruction() == Instruction::vnni ? 2 : 1);
  }
  Instruction instruction() const override {
    return has_steps(element_) && std::string{host::coded_simd()} == "VNNI" && sequence_.shape.rows == 1 ? Instruction::vnni : Instruction::fma;
  }

 private:
  Element element_;
  int rank_;
  std::vector<float> matrix_, mean_;
  std::unique_ptr<CodedShape> shape_;
  std::unique_ptr<Memory> memory_;
  CodedPool pool_;
};

void measure(Shape const& shape, int repeats, int check_keys, std::string const& only) {
  Sequence const sequence{shape};
  std::vector<std::unique_ptr<Stored>> stored;
  stored.push_back(std::make_unique<Plain>(sequence));
  auto const add = [&](std::string name, Element element, int rank) {
    if (name.find(only) != std::string::npos) stored.push_back(std::make_unique<Coded>(sequence, std::move(name), element, rank));
  };
  add("bf16", Element::bf16, shape.head_dim);
  add("fp8", Element::fp8, shape.head_dim);
  add("int8", Element::int8, shape.head_dim);
  add("int4", Element::int4, shape.head_dim);
  add("int3", Element::int3, shape.head_dim);
  add("int2", Element::int2, shape.head_dim);
  add("mixed:3.5", Element::mixed, shape.head_dim);
  add("bf16, rank d/2", Element::bf16, shape.head_dim / 2);
  add("bf16, rank d/4", Element::bf16, shape.head_dim / 4);
  add("int8, rank d/4", Element::int8, shape.head_dim / 4);
  if (shape.keys <= check_keys)
    for (auto& one : stored) one->check(1e-4);
  for (int i = 0; i < repeats; ++i) {   // all in each turn, so that reading, too, finds in the caches what the others left
    for (auto& one : stored) one->time_attend();
    for (auto& one : stored) one->time_read();
    for (auto& one : stored) one->time_multiply();
  }
  double const plain = median(stored[0]->attend_seconds);
  for (auto const& one : stored) {
    double const attend = median(one->attend_seconds), read = median(one->read_seconds), multiply = median(one->multiply_seconds);
    fmt::print("{:<16} {:>10.0f} {:>8.1f} {:>9.0f} {:>8.1f} {:>11.0f} {:>8.0f} {:<4} {:>4.0f} % {:>6.0f} % {:>8.2f}\n", one->name, attend * 1e6,
               one->bytes() / attend / 1e9, read * 1e6, one->bytes() / read / 1e9, multiply * 1e6, one->multiply_adds() / multiply / 1e9, one->used(),
               median(one->shares) * 100, std::max(least(one->read_seconds), least(one->multiply_seconds)) / least(one->attend_seconds) * 100,
               plain / attend);
  }
}

}  // namespace

int main(int argc, char** argv) {
  namespace po = boost::program_options;
  Shape shape{};
  int threads = 0, repeats = 0, check_keys = 0;
  std::string only;
  po::options_description options{"attention_bench"};
  options.add_options()("help", "this text")("threads", po::value(&threads)->default_value(omp_get_max_threads()), "OpenMP threads")(
      "repeats", po::value(&repeats)->default_value(51), "medians of so many")("rows", po::value(&shape.rows)->default_value(1), "query rows")(
      "q-heads", po::value(&shape.q_heads)->default_value(32), "")("kv-heads", po::value(&shape.kv_heads)->default_value(8), "")(
      "head-dim", po::value(&shape.head_dim)->default_value(128), "a multiple of 32")("keys", po::value(&shape.keys)->default_value(16384), "")(
      "page-tokens", po::value(&shape.page_tokens)->default_value(32), "8 or more; divides keys")(
      "cpu-time", po::bool_switch(&by_cpu_time), "count processor time over threads: where other programs run, too; with OMP_WAIT_POLICY=passive")(
      "no-tiles", po::bool_switch(), "do without AMX")(
      "only", po::value(&only)->default_value(""), "beside the plain pages, those with this in their name")(
      "check-keys", po::value(&check_keys)->default_value(2048), "results are held against the reference up to so many keys, which takes its time");
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
  host::allow_tiles(!given["no-tiles"].as<bool>());
  fmt::print("{} rows, {} query heads, {} KV heads, d {}, {} keys, pages of {}; {}; {} threads, medians of {}\n", shape.rows,
             shape.q_heads, shape.kv_heads, shape.head_dim, shape.keys, shape.page_tokens, host::simd_target(), threads, repeats);
  fmt::print(
      "stored as         attend us     GB/s   read us     GB/s   multiply us   GMAC/s with   share of the slower limit (median, best)  times faster\n");
  if (shape.keys > check_keys) {
    Shape small = shape;
    small.keys = 16 * shape.page_tokens;
    Sequence const sequence{small};
    for (Element element : {Element::bf16, Element::int8, Element::int4}) Coded{sequence, "small", element, shape.head_dim / 4}.check(1e-4);
    Plain{sequence}.check(1e-5);
  }
  measure(shape, repeats, check_keys, only);
  return 0;
}
#endif
