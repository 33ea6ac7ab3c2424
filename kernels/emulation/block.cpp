#include "kernels/emulation/block.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <boost/context/fiber.hpp>
#include <cstring>
#include <filesystem>
#include <random>

#include "kernels/emulation/block_run.cuh"
#include "kernels/emulation/running.hpp"

__attribute__((section("pikv_builtins"))) uint3 threadIdx, blockIdx;
__attribute__((section("pikv_builtins"))) dim3 blockDim, gridDim;

namespace pikv::kernels::emulation {

alignas(256) std::byte dynamic_shared_bytes[most_shared_bytes];
thread_local Running const* running = nullptr;

namespace {

namespace context = boost::context;

enum class State : std::uint8_t { ready, at_barrier, in_warp_call, left };

struct Thread {
  context::fiber fiber;
  State state = State::left;
  uint3 index{};
  std::source_location where;
  bool predicate = false;
  WarpCall call{};
  std::uint64_t result = 0;
};

/// The stacks belong to the scheduler, and are used again.
struct KeptStack {
  void deallocate(context::stack_context&) noexcept {}
};

class Stacks {
 public:
  static constexpr std::size_t bytes = 64 * 1024;

  Stacks() {
    void* const at = mmap(nullptr, bytes * most_threads, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) throw std::runtime_error("the emulated device could not reserve its threads' stacks; raise ulimit -v");
    all_ = static_cast<std::byte*>(at);
  }
  std::byte* of(unsigned thread) const { return all_ + thread * bytes; }

 private:
  std::byte* all_;
};

std::string at_line(std::source_location const& where) {
  return fmt::format("{}:{}", std::filesystem::path{where.file_name()}.filename().string(), where.line());
}

std::string name_of(uint3 at) { return fmt::format("({},{},{})", at.x, at.y, at.z); }

struct Scheduler {
  std::mt19937_64 random{1};
  bool shuffled = true;
  History history;
  Stacks stacks;
  std::vector<Thread> threads;
  std::vector<unsigned> ready;
  std::vector<unsigned> in_warp_call;   // lanes, by warp
  unsigned current = 0, at_barrier = 0, left = 0;
  int true_predicates = 0, last_true_predicates = 0;
  std::string trouble;
  context::fiber caller;
  Running me;

  Thread& thread() { return threads[current]; }
  void wait(State state) {   // of the current thread, until it is made ready
    thread().state = state;
    caller = std::move(caller).resume();
  }
  void make_ready(unsigned number) {
    threads[number].state = State::ready;
    ready.push_back(number);
  }
  void start(unsigned number, void (*call)(void const*), void const* arguments);
  void resume(unsigned number);
  void pass_barrier();
  std::string why_apart() const;   // at a barrier; empty: all threads wait at the same line
  std::string why_stuck() const;
  std::string why_stuck(unsigned number) const;
};

Scheduler& scheduler() {
  static Scheduler the_scheduler;
  return the_scheduler;
}

void Scheduler::start(unsigned number, void (*call)(void const*), void const* arguments) {
  std::byte* const stack = stacks.of(number);
  context::stack_context of_stack;
  of_stack.size = Stacks::bytes;
  of_stack.sp = stack + Stacks::bytes;
  threads[number].fiber = context::fiber{std::allocator_arg, context::preallocated{of_stack.sp, of_stack.size, of_stack}, KeptStack{},
                                         [this, call, arguments](context::fiber&& from) {
                                           caller = std::move(from);
                                           running = &me;
                                           call(arguments);
                                           running = nullptr;
                                           thread().state = State::left;
                                           ++left;
                                           return std::move(caller);
                                         }};
  make_ready(number);
}

void Scheduler::resume(unsigned number) {
  current = number;
  threadIdx = threads[number].index;
  me.stack = stacks.of(number);
  me.place = history.place(number);
  threads[number].fiber = std::move(threads[number].fiber).resume();
}

void Scheduler::pass_barrier() {
  history.pass_barrier();
  last_true_predicates = std::exchange(true_predicates, 0);
  at_barrier = 0;
  for (unsigned number = 0; number < threads.size(); ++number) make_ready(number);
}

std::string Scheduler::why_apart() const {
  auto const& first = threads[0];
  for (Thread const& other : threads)
    if (other.where.line() != first.where.line() || std::strcmp(other.where.file_name(), first.where.file_name()) != 0)
      return fmt::format("block {}, a barrier that not all threads reach: thread {} waits at {}, thread {} at {}", name_of(blockIdx),
                         name_of(first.index), at_line(first.where), name_of(other.index), at_line(other.where));
  return {};
}

std::string Scheduler::why_stuck(unsigned number) const {
  Thread const& of = threads[number];
  unsigned const warp_first = number / warp_size * warp_size;
  for (unsigned lane = 0; lane < warp_size; ++lane) {
    if (!(of.call.mask >> lane & 1) || warp_first + lane == number) continue;
    std::string const missing = fmt::format("a warp function at {} with mask {:#x}, of which lane {}", at_line(of.where), of.call.mask, lane);
    if (warp_first + lane >= threads.size()) return missing + " is not in the block";
    Thread const& other = threads[warp_first + lane];
    if (other.state == State::left) return missing + " has left the kernel";
    if (other.state == State::at_barrier) return fmt::format("{} waits at the barrier of {}", missing, at_line(other.where));
    if (other.call.mask != of.call.mask || other.call.op != of.call.op)
      return fmt::format("{} waits in another warp function or with another mask ({:#x}, {})", missing, other.call.mask, at_line(other.where));
  }
  return "a warp function that cannot end";
}

std::string Scheduler::why_stuck() const {
  auto const text = [&](unsigned number, std::string const& what) {
    return fmt::format("block {}, thread {} waits in {}", name_of(blockIdx), name_of(threads[number].index), what);
  };
  for (unsigned number = 0; number < threads.size(); ++number)
    if (threads[number].state == State::in_warp_call) return text(number, why_stuck(number));
  auto const find = [&](State state) {
    return static_cast<unsigned>(std::find_if(threads.begin(), threads.end(), [&](Thread const& of) { return of.state == state; }) - threads.begin());
  };
  unsigned const waiting = find(State::at_barrier), gone = find(State::left);
  return text(waiting, fmt::format("a barrier that not all threads reach ({}): thread {} has left the kernel", at_line(threads[waiting].where),
                                   name_of(threads[gone].index)));
}

struct Lane {
  std::uint64_t value;
  bool taken;
};

/// What a shuffle makes lane `of` read; its own number where the distance leads out of its segment.
unsigned source_lane(WarpCall const& call, unsigned of) {
  unsigned const first = of / call.width * call.width, end = first + call.width;
  switch (call.op) {
    case WarpOp::shuffle:
      return first + call.lane % call.width;
    case WarpOp::shuffle_up:
      return of >= first + call.lane ? of - call.lane : of;
    case WarpOp::shuffle_down:
      return of + call.lane < end ? of + call.lane : of;
    default:
      return (of ^ call.lane) < end ? of ^ call.lane : of;
  }
}

bool is_shuffle(WarpOp op) { return op >= WarpOp::shuffle && op <= WarpOp::shuffle_xor; }

std::uint64_t reduced(WarpOp op, std::uint64_t a, std::uint64_t b) {
  auto const x = static_cast<std::uint32_t>(a), y = static_cast<std::uint32_t>(b);
  switch (op) {
    case WarpOp::add:
      return x + y;
    case WarpOp::min:
      return std::min(x, y);
    case WarpOp::max:
      return std::max(x, y);
    case WarpOp::min_signed:
      return static_cast<std::uint32_t>(std::min(static_cast<std::int32_t>(x), static_cast<std::int32_t>(y)));
    case WarpOp::max_signed:
      return static_cast<std::uint32_t>(std::max(static_cast<std::int32_t>(x), static_cast<std::int32_t>(y)));
    case WarpOp::bit_and:
      return x & y;
    case WarpOp::bit_or:
      return x | y;
    default:
      return x ^ y;
  }
}

/// All lanes of the mask have come: each one's result.
void finish(Scheduler& of, unsigned warp_first, unsigned mask) {
  auto const lanes = [&](auto const& each) {
    for (unsigned left = mask; left != 0; left &= left - 1)
      each(static_cast<unsigned>(std::countr_zero(left)), of.threads[warp_first + std::countr_zero(left)]);
  };
  WarpOp const op = of.thread().call.op;
  if (op == WarpOp::sync) return of.history.sync_lanes(warp_first / warp_size, mask);
  if (is_shuffle(op)) return lanes([&](unsigned lane, Thread& to) { to.result = of.threads[warp_first + source_lane(to.call, lane)].call.value; });
  if (op == WarpOp::match_any) {
    return lanes([&](unsigned, Thread& to) {
      to.result = 0;
      lanes([&](unsigned lane, Thread& from) { to.result |= std::uint64_t{from.call.value == to.call.value} << lane; });
    });
  }
  std::uint64_t result = 0;
  bool first = true;
  lanes([&](unsigned lane, Thread& from) {
    if (op == WarpOp::ballot)
      result |= from.call.value << lane;
    else
      result = std::exchange(first, false) ? from.call.value : reduced(op, result, from.call.value);
  });
  lanes([&](unsigned, Thread& to) { to.result = result; });
}

}  // namespace

void report(std::string const& what) {
  Unchecked const unchecked;
  Scheduler& of = scheduler();
  of.trouble = fmt::format("block {}, thread {} {}", name_of(blockIdx), name_of(threadIdx), what);
  of.wait(State::left);
  std::abort();   // nobody resumes it
}

int barrier(bool predicate, std::source_location const& where) {
  Unchecked const unchecked;
  Scheduler& of = scheduler();
  of.thread().where = where;
  of.true_predicates += predicate;
  ++of.at_barrier;
  of.wait(State::at_barrier);
  return of.last_true_predicates;
}

std::uint64_t warp_call(WarpCall const& call, std::source_location const& where) {
  Unchecked const unchecked;
  Scheduler& of = scheduler();
  unsigned const warp_first = of.current / warp_size * warp_size, lane = of.current % warp_size;
  Thread& me = of.thread();
  if (!(call.mask >> lane & 1))
    report(fmt::format("calls a warp function at {} with mask {:#x}, which leaves out its lane {}", at_line(where), call.mask, lane));
  if (is_shuffle(call.op)) {
    if (!std::has_single_bit(call.width) || call.width > warp_size) report(fmt::format("shuffles over {} lanes at {}", call.width, at_line(where)));
    unsigned const from = source_lane(call, lane);
    if (!(call.mask >> from & 1))
      report(fmt::format("reads lane {} by a shuffle at {} whose mask {:#x} leaves it out", from, at_line(where), call.mask));
  }
  me.where = where;
  me.call = call;
  unsigned& waiting = of.in_warp_call[of.current / warp_size];
  waiting |= 1u << lane;
  bool all_here = (waiting & call.mask) == call.mask;
  for (unsigned left = all_here ? call.mask : 0; left != 0; left &= left - 1) {
    WarpCall const& other = of.threads[warp_first + std::countr_zero(left)].call;
    all_here = all_here && other.mask == call.mask && other.op == call.op;
  }
  if (!all_here) {
    of.wait(State::in_warp_call);
    return me.result;
  }
  finish(of, warp_first, call.mask);
  waiting &= ~call.mask;
  for (unsigned left = call.mask; left != 0; left &= left - 1) of.make_ready(warp_first + std::countr_zero(left));
  of.wait(State::ready);
  return me.result;
}

std::uint64_t atomic(void* at, std::size_t bytes, std::uint64_t (*change)(std::uint64_t old, void const* operands), void const* operands) {
  Running const& me = *running;
  Unchecked const unchecked;
  check_access(me, at, bytes, Kind::atomic);
  std::uint64_t old = 0;
  std::memcpy(&old, at, bytes);
  std::uint64_t const value = change(old, operands);
  std::memcpy(at, &value, bytes);
  return old;
}

void set_seed(std::uint64_t seed) {
  scheduler().random.seed(seed);
  scheduler().shuffled = seed != 0;
}

std::vector<unsigned> block_order(unsigned blocks) {
  Scheduler& of = scheduler();
  std::vector<unsigned> order(blocks);
  std::iota(order.begin(), order.end(), 0u);
  if (of.shuffled) std::shuffle(order.begin(), order.end(), of.random);
  return order;
}

void start_launch() { scheduler().history.start_launch(); }

std::string run_block(BlockRun const& run) {
  Scheduler& of = scheduler();
  unsigned const count = run.threads.x * run.threads.y * run.threads.z;
  of.trouble.clear();
  of.history.start_block(count);
  of.at_barrier = of.left = 0;
  of.true_predicates = 0;
  of.me = {nullptr, Stacks::bytes, static_cast<std::byte const*>(run.arguments), run.argument_bytes, run.dynamic_bytes, {}, &of.history};
  blockIdx = run.block;
  blockDim = run.threads;
  gridDim = run.blocks;
  of.ready.clear();
  of.in_warp_call.assign((count + warp_size - 1) / warp_size, 0);
  of.threads.resize(count);
  for (unsigned number = 0; number < count; ++number) {
    of.threads[number].index = {number % run.threads.x, number / run.threads.x % run.threads.y, number / run.threads.x / run.threads.y};
    of.start(number, run.call, run.arguments);
  }
  std::size_t next = 0;
  while (of.left < count && of.trouble.empty()) {
    if (of.at_barrier == count) {
      of.trouble = of.why_apart();
      if (of.trouble.empty()) of.pass_barrier();
    } else if (of.ready.empty()) {
      of.trouble = of.why_stuck();
    } else {
      next = of.shuffled ? of.random() % of.ready.size() : (next < of.ready.size() ? next : 0);
      unsigned const number = of.ready[next];
      if (of.shuffled) {
        of.ready[next] = of.ready.back();
        of.ready.pop_back();
      } else {
        of.ready.erase(of.ready.begin());
        next = 0;
      }
      of.resume(number);
    }
  }
  if (!of.trouble.empty()) {   // the fibers are not unwound: their stacks are simply used again
    for (Thread& thread : of.threads) {
      alignas(context::fiber) static std::byte never_destroyed[sizeof(context::fiber)];
      new (never_destroyed) context::fiber{std::move(thread.fiber)};
    }
  }
  return of.trouble;
}

}  // namespace pikv::kernels::emulation
