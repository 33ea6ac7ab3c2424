// Question: which share of a GPU's copy bandwidth does decode attention over pages reach, plain and coded, and what do coded pages gain?
// Pages lie in shuffled slots; one query row a sequence sees all its keys. The yardstick is a copy inside device memory, whose bytes count twice
// (read and written); attention reads its pages once. Medians by CUDA events, forms in turn, a copy before each: so each finds the same in the cache,
// and the host has queued it before it begins. A short sequence is held against the reference first, on the pages that the device encoded.
// Run: gpu_attention_bench [--keys 16384] [--page-tokens 32] [--sequences 1]; other shapes: --help
#include <cuda_runtime_api.h>
#include <fmt/core.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/attend.hpp"
#include "kernels/coded.hpp"
#include "kernels/cuda/coded.hpp"
#include "kernels/cuda/memory.hpp"
#include "kernels/cuda/stream.hpp"
#include "kernels/split.hpp"

namespace {

using namespace pikv::kernels;
using cuda::DeviceArray;

struct Shape {
  int sequences, q_heads, kv_heads, head_dim, keys, page_tokens;
  int pages() const { return keys / page_tokens; }
  float scale() const { return 1 / std::sqrt(static_cast<float>(head_dim)); }
};

void must(cudaError_t result, std::string const& what) {
  if (result != cudaSuccess) throw std::runtime_error(fmt::format("the GPU could not {}: {}", what, cudaGetErrorString(result)));
}

/// A stream and two events on it, until the program ends.
class Gpu {
 public:
  Gpu() {
    for (cudaEvent_t& event : events_) must(cudaEventCreate(&event), "make an event");
    cudaMemPool_t pool = nullptr;
    int device = 0;
    must(cudaGetDevice(&device), "be named");
    must(cudaDeviceGetDefaultMemPool(&pool, device), "name its memory pool");
    std::uint64_t keep = std::numeric_limits<std::uint64_t>::max();   // a kernel's own memory is not given back between runs
    must(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "keep its memory");
  }
  Stream& stream() { return stream_; }
  CUstream_st* handle() const { return handle_; }
  /// Of `call`, queued behind `before`.
  template <class Before, class Call>
  double seconds(Before const& before, Call const& call) {
    before();
    must(cudaEventRecord(events_[0], handle_), "record an event");
    call();
    must(cudaEventRecord(events_[1], handle_), "record an event");
    must(cudaEventSynchronize(events_[1]), "end what was queued");
    float milliseconds = 0;
    must(cudaEventElapsedTime(&milliseconds, events_[0], events_[1]), "measure time");
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  static cudaStream_t new_stream() {
    int count = 0;
    cudaError_t const result = cudaGetDeviceCount(&count);
    if (result != cudaSuccess || count == 0) throw std::runtime_error(fmt::format("no GPU was found ({}); run where nvidia-smi shows one", cudaGetErrorString(result)));
    cudaStream_t made = nullptr;
    must(cudaStreamCreate(&made), "make a stream");
    return made;
  }

  cudaStream_t handle_ = new_stream();
  cudaEvent_t events_[2]{};
  cuda::CudaStream stream_{handle_};
};

/// Sequences of plain bf16 pages on the host, their queries and plan.
struct Sequences {
  explicit Sequences(Shape const& of)
      : shape{of}, layout{DType::bf16, of.kv_heads, of.page_tokens, of.head_dim}, memory(layout.bytes() * static_cast<std::size_t>(of.sequences) * of.pages()),
        q(static_cast<std::size_t>(of.sequences) * of.q_heads * of.head_dim), row_position(of.sequences, of.keys) {
    std::mt19937 bits{1};
    std::normal_distribution<float> normal;
    for (float& x : q) x = normal(bits);
    std::vector<float> numbers(1 << 20);   // and again and again: making them takes longer than all else
    for (float& x : numbers) x = normal(bits);
    for (std::size_t i = 0; i < memory.size() / 2; ++i) store_scalar(DType::bf16, memory.data(), i, numbers[(i + i / numbers.size() * 7919) % numbers.size()]);
    for (int s = 0; s <= of.sequences; ++s) {
      row_offsets.push_back(s);
      page_offsets.push_back(s * of.pages());
    }
    slots.resize(page_offsets.back());
    std::iota(slots.begin(), slots.end(), 0);
    std::shuffle(slots.begin(), slots.end(), bits);
    for (std::size_t page = 0; page < slots.size(); ++page) first_position.push_back(static_cast<int>(page) % of.pages() * of.page_tokens);
    tokens.assign(slots.size(), of.page_tokens);
  }
  PoolView pool() { return {memory.data(), layout.bytes(), layout}; }
  AttendPlan plan() const {
    return {shape.sequences, row_offsets.data(), page_offsets.data(), slots.data(), first_position.data(), tokens.data(), row_position.data()};
  }

  Shape shape;
  PageLayout layout;
  std::vector<std::byte> memory;
  std::vector<float> q;
  std::vector<std::int32_t> row_offsets, page_offsets, slots, first_position, tokens, row_position;
};

/// The same on the device, with room for one result.
struct OnDevice {
  OnDevice(Sequences const& of, Stream& stream)
      : split{split_plan(of.plan(), of.shape.q_heads, of.layout)}, memory{of.memory, stream}, q{of.q, stream}, row_offsets{of.row_offsets, stream},
        page_offsets{of.page_offsets, stream}, slots{of.slots, stream}, first_position{of.first_position, stream}, tokens{of.tokens, stream},
        row_position{of.row_position, stream}, part{split.part, stream}, join{split.join, stream}, sum{of.q.size(), stream},
        max{of.q.size() / of.shape.head_dim, stream}, denom{max.size(), stream}, sequences{of} {}
  PoolView pool() const { return {memory.data(), sequences.layout.bytes(), sequences.layout}; }
  AttendPlan plan() const {
    return {sequences.shape.sequences, row_offsets.data(), page_offsets.data(), slots.data(), first_position.data(), tokens.data(), row_position.data(),
            {static_cast<std::int32_t>(part.size()), part.data(), static_cast<std::int32_t>(join.size()), join.data(), split.partial_rows, split.rows}};
  }
  PartialView out() const { return {sum.data(), max.data(), denom.data()}; }

  SplitPlan const split;
  DeviceArray<std::byte> memory;
  DeviceArray<float> q;
  DeviceArray<std::int32_t> row_offsets, page_offsets, slots, first_position, tokens, row_position;
  DeviceArray<AttendPart> part;
  DeviceArray<AttendJoin> join;
  DeviceArray<float> sum, max, denom;
  Sequences const& sequences;
};

/// One way to store the pages.
class Form {
 public:
  Form(std::string called, OnDevice& on, Gpu& gpu) : name{std::move(called)}, on_{on}, gpu_{gpu} {}
  virtual ~Form() = default;
  virtual void attend() = 0;
  virtual std::size_t page_bytes() const = 0;
  virtual float tolerance() const = 0;   // of an output, some .05
  virtual void attend_by_reference(Sequences& sequences, PartialView out) const = 0;
  double bytes() const { return static_cast<double>(page_bytes()) * static_cast<double>(on_.slots.size()); }

  void check(Sequences& sequences) {
    std::vector<float> sum(on_.sum.size()), max(on_.max.size()), denom(max.size()), wanted(sum.size()), wanted_denom(max.size());
    attend_by_reference(sequences, {wanted.data(), max.data(), wanted_denom.data()});
    std::ranges::fill(sum, std::numeric_limits<float>::quiet_NaN());
    on_.sum.copy_in(sum);   // what is not written is no number
    attend();
    on_.sum.copy_out(sum);
    on_.denom.copy_out(denom);
    gpu_.stream().synchronize();
    for (std::size_t i = 0; i < sum.size(); ++i) {
      std::size_t const head = i / static_cast<std::size_t>(sequences.shape.head_dim);
      if (!(std::abs(sum[i] / denom[head] - wanted[i] / wanted_denom[head]) <= tolerance()))
        throw std::runtime_error(fmt::format("{} is off: {} instead of {}; nothing was timed", name, sum[i] / denom[head], wanted[i] / wanted_denom[head]));
    }
  }

  std::string name;
  std::vector<double> seconds;

 protected:
  OnDevice& on_;
  Gpu& gpu_;
};

class Plain : public Form {
 public:
  Plain(OnDevice& on, Gpu& gpu) : Form{"plain bf16", on, gpu} {}
  void attend() override {
    Shape const& s = on_.sequences.shape;
    cuda::attend(on_.pool(), on_.plan(), on_.q.data(), s.q_heads, s.scale(), on_.out(), nullptr, gpu_.stream());
  }
  std::size_t page_bytes() const override { return on_.sequences.layout.bytes(); }
  float tolerance() const override { return 1e-5f; }
  void attend_by_reference(Sequences& of, PartialView out) const override {
    reference::attend(of.pool(), of.plan(), of.q.data(), of.shape.q_heads, of.shape.scale(), out, nullptr);
  }
};

class Coded : public Form {
 public:
  Coded(std::string called, Element element, int rank, OnDevice& on, Gpu& gpu)
      : Form{std::move(called), on, gpu}, maps_{make_maps(on.sequences.shape, rank)}, shape_{on.sequences.layout, {element, maps_, 0, {}}, {element, maps_, 0, {}}},
        layout_{shape_.layout(), gpu.stream()}, memory_{page_bytes() * on.slots.size(), gpu.stream()} {
    cuda::encode_pages(on.pool(), pool(), {static_cast<std::int32_t>(on.slots.size()), on.slots.data(), on.slots.data()}, gpu.stream());
  }
  void attend() override {
    Shape const& s = on_.sequences.shape;
    cuda::attend_coded(pool(), on_.plan(), on_.q.data(), s.q_heads, s.scale(), on_.out(), nullptr, gpu_.stream());
  }
  std::size_t page_bytes() const override { return shape_.layout().bytes; }
  float tolerance() const override { return 1e-4f; }
  void attend_by_reference(Sequences& of, PartialView out) const override {
    std::vector<std::byte> pages(memory_.size() + 63);
    void* aligned = pages.data();
    std::size_t room = pages.size();
    CodedPool const on_host{static_cast<std::byte*>(std::align(64, memory_.size(), aligned, room)), page_bytes(), shape_.layout()};
    memory_.copy_out({on_host.base, memory_.size()});
    gpu_.stream().synchronize();
    reference::attend_coded(on_host, of.plan(), of.q.data(), of.shape.q_heads, of.shape.scale(), out, nullptr);
  }

 private:
  std::vector<LinearMap> make_maps(Shape const& s, int rank) {
    if (rank == s.head_dim) return {};
    std::mt19937 bits{3};
    std::normal_distribution<float> normal{0, 1 / std::sqrt(static_cast<float>(s.head_dim))};
    matrix_.resize(static_cast<std::size_t>(rank) * s.head_dim);
    for (float& x : matrix_) x = normal(bits);
    mean_.assign(s.head_dim, 0.1f);
    return std::vector<LinearMap>(s.kv_heads, {rank, matrix_.data(), matrix_.data(), mean_.data()});
  }
  cuda::DeviceCodedPool pool() const { return {memory_.data(), page_bytes(), &layout_}; }

  std::vector<float> matrix_, mean_;
  std::vector<LinearMap> maps_;
  CodedShape shape_;
  cuda::DeviceCodedLayout layout_;
  DeviceArray<std::byte> memory_;
};

std::vector<std::unique_ptr<Form>> forms_of(OnDevice& on, Gpu& gpu) {
  int const d = on.sequences.shape.head_dim;
  std::vector<std::unique_ptr<Form>> forms;
  forms.push_back(std::make_unique<Plain>(on, gpu));
  for (auto const& [name, element, rank] : std::initializer_list<std::tuple<char const*, Element, int>>{
           {"fp8", Element::fp8, d}, {"int8", Element::int8, d}, {"int4", Element::int4, d}, {"int3", Element::int3, d}, {"bf16, rank d/4", Element::bf16, d / 4}})
    forms.push_back(std::make_unique<Coded>(name, element, rank, on, gpu));
  return forms;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

void measure(Shape const& shape, int repeats) {
  Gpu gpu;
  Shape small = shape;
  small.sequences = std::min(shape.sequences, 2);
  small.keys = std::min(shape.keys, 32 * shape.page_tokens);
  Sequences few{small};
  {
    OnDevice on{few, gpu.stream()};
    for (auto const& form : forms_of(on, gpu)) form->check(few);
  }
  Sequences const sequences{shape};
  OnDevice on{sequences, gpu.stream()};
  auto const forms = forms_of(on, gpu);
  std::size_t const copied = 1u << 30;
  DeviceArray<std::byte> const from{copied, gpu.stream()}, to{copied, gpu.stream()};
  std::vector<double> copies;
  for (int turn = 0; turn < repeats + 2; ++turn) {   // the first two warm up
    auto const keep = [&](std::vector<double>& of, double seconds) {
      if (turn >= 2) of.push_back(seconds);
    };
    auto const copy = [&] { must(cudaMemcpyAsync(to.data(), from.data(), copied, cudaMemcpyDeviceToDevice, gpu.handle()), "copy"); };
    keep(copies, gpu.seconds(copy, copy));
    for (auto const& form : forms) keep(form->seconds, gpu.seconds(copy, [&] { form->attend(); }));
  }
  double const bandwidth = 2 * static_cast<double>(copied) / median(copies), plain = median(forms.front()->seconds);
  fmt::print("a copy in device memory: {:.0f} GB/s\nstored as          attend us     GB/s   share of the copy's  times faster\n", bandwidth / 1e9);
  for (auto const& form : forms) {
    double const seconds = median(form->seconds), rate = form->bytes() / seconds;
    fmt::print("{:<16} {:>11.1f} {:>8.0f} {:>18.0f} % {:>13.2f}\n", form->name, 1e6 * seconds, rate / 1e9, 100 * rate / bandwidth, plain / seconds);
  }
}

void refuse(Shape const& s, int repeats) {
  auto const must_hold = [](bool holds, char const* sentence) {
    if (!holds) throw boost::program_options::error(sentence);
  };
  must_hold(repeats > 0 && s.sequences > 0, "--repeats and --sequences are 1 or more");
  must_hold(s.kv_heads > 0 && s.q_heads > 0 && s.q_heads % s.kv_heads == 0, "--q-heads is a multiple of --kv-heads, which is 1 or more");
  must_hold(s.head_dim > 0 && s.head_dim % 32 == 0, "--head-dim is a multiple of 32");
  must_hold(s.page_tokens >= 8 && (s.page_tokens & (s.page_tokens - 1)) == 0, "--page-tokens is a power of two, 8 or more");
  must_hold(s.keys > 0 && s.keys % s.page_tokens == 0, "--keys is a multiple of --page-tokens");
}

}  // namespace

int main(int argc, char** argv) {
  namespace po = boost::program_options;
  Shape shape{};
  int repeats = 0;
  po::options_description options{"gpu_attention_bench"};
  options.add_options()("help", "this text")("repeats", po::value(&repeats)->default_value(51), "medians of so many")(
      "sequences", po::value(&shape.sequences)->default_value(1), "of one query row each")("q-heads", po::value(&shape.q_heads)->default_value(32), "")(
      "kv-heads", po::value(&shape.kv_heads)->default_value(8), "")("head-dim", po::value(&shape.head_dim)->default_value(128), "a multiple of 32")(
      "keys", po::value(&shape.keys)->default_value(16384), "of a sequence")("page-tokens", po::value(&shape.page_tokens)->default_value(32), "8 or more; divides keys");
  try {
    po::variables_map given;
    po::store(po::parse_command_line(argc, argv, options), given);
    po::notify(given);
    if (given.count("help") > 0) {
      std::ostringstream text;
      text << options;
      fmt::print("{}", text.str());
      return 0;
    }
    refuse(shape, repeats);
    fmt::print("{} sequences, {} query heads, {} KV heads, d {}, {} keys, pages of {}, medians of {}\n", shape.sequences, shape.q_heads, shape.kv_heads, shape.head_dim,
               shape.keys, shape.page_tokens, repeats);
    measure(shape, repeats);
    return 0;
  } catch (po::error const& error) {
    fmt::print(stderr, "gpu_attention_bench: {}; see --help\n", error.what());
    return 2;
  } catch (std::exception const& error) {
    fmt::print(stderr, "gpu_attention_bench: {}\n", error.what());
    return 1;
  }
}
