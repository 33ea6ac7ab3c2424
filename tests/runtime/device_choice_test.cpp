#include "runtime/device_choice.hpp"

#include <gmock/gmock.h>

#include "comm/device_memory.hpp"
#include "comm/inprocess_world.hpp"

namespace pikv::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// A GPU's memory that nothing is to be allocated in; perhaps it is not there.
class NamedMemory : public comm::DeviceMemory {
 public:
  explicit NamedMemory(std::string absent) : absent_{std::move(absent)} {}
  std::string why_absent() const override { return absent_; }
  bool is_cuda() const override { return false; }
  std::byte* allocate(std::size_t) override { throw std::logic_error("not asked for"); }
  void free(std::byte*) noexcept override {}
  void pin(std::span<std::byte>) override {}
  void unpin(std::byte*) noexcept override {}
  void copy_in(std::byte*, std::span<std::byte const>) override {}
  void copy_out(std::span<std::byte>, std::byte const*) override {}

 private:
  std::string absent_;
};

constexpr kernels::PageLayout pages{kernels::DType::f32, 2, 16, 64};

std::string said(comm::DeviceMemory* memory, runtime::MakeDevice make, kernels::PageLayout const& layout) {
  std::string sentence;
  comm::run_inprocess({.ranks = 2, .device = memory}, [&](comm::World& world) {
    auto const choice = runtime::choose_device(world, make, layout, 10);
    EXPECT_EQ(choice.device, nullptr);
    if (world.rank() == 0) sentence = choice.sentence;
  });
  return sentence;
}

std::unique_ptr<kernels::Device> none() { return nullptr; }

TEST(DeviceChoice, WithoutCudaThereIsNothingToSay) { EXPECT_EQ(said(nullptr, nullptr, pages), ""); }

TEST(DeviceChoice, SaysInASentenceWhyTheStepRunsOnTheHost) {
  NamedMemory absent{"it was lent to a friend; ask for it back"}, there{""};
  EXPECT_THAT(said(&absent, none, pages), HasSubstr("the step runs on the host; rank 0: "));
  if (auto const gpus = comm::gpus_found(); gpus && gpus->count == 0) return;   // that is said instead
  EXPECT_THAT(said(&absent, none, pages), HasSubstr("it was lent to a friend; ask for it back"));
  kernels::PageLayout large = pages;
  large.head_dim = 320;
  EXPECT_THAT(said(&there, none, large), AllOf(HasSubstr("the step runs on the host"), HasSubstr("head_dim 320 is more than a GPU attends in f32 pages, 256")));
  large.dtype = kernels::DType::bf16;
  EXPECT_THAT(said(&there, none, large), HasSubstr("runs on the GPU of each rank"));
}

std::vector<std::uint64_t> shares(std::uint64_t reserved) {
  std::vector<std::string> const devices{"one", "one", "another", "one"};   // the last is on a host of its own
  std::vector<std::uint64_t> shares(devices.size());
  comm::run_inprocess({.ranks = 4, .ranks_per_host = 3}, [&](comm::World& world) {
    auto const rank = static_cast<std::size_t>(world.rank());
    shares[rank] = runtime::share_of_memory(world, devices[rank], 900, reserved, 10);
  });
  return shares;
}

TEST(ShareOfMemory, IsAlikeForRanksOfAHostThatShareADevice) { EXPECT_EQ(shares(0), (std::vector<std::uint64_t>{450, 450, 900, 900})); }
TEST(ShareOfMemory, IsWhatWasPutAsideLess) {
  EXPECT_EQ(shares(100), (std::vector<std::uint64_t>{350, 350, 800, 800}));
  EXPECT_EQ(shares(500), (std::vector<std::uint64_t>{0, 0, 400, 400}));
}

}  // namespace
}  // namespace pikv::test
