// What policies know and what they evicted, in a checkpoint.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <iterator>

#include "comm/inprocess_world.hpp"
#include "runtime/checkpoint/digest.hpp"
#include "runtime/checkpoint/tables_check.hpp"
#include "runtime/checkpoint/tables_file.hpp"
#include "runtime/checkpoint/verify.hpp"
#include "runtime/policy_state.hpp"
#include "sample.hpp"
#include "tests/runtime/trace/scratch_folder.hpp"
#include "tests/runtime/trace/trace_cases.hpp"

namespace pikv::runtime {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

struct CheckpointPolicies : ::testing::Test {
  void SetUp() override { test::write_sample(name, test::sample_facts(), saved); }

  std::string contradiction(std::function<void(SavedRequest&)> const& change) {
    auto requests = saved;
    change(requests[1]);
    auto const file = folder / ("made" + std::to_string(made_++) + ".h5");
    write_tables(file, test::sample_facts(), pack(requests), CheckpointReader{name}.pages());
    return contradiction_in(CheckpointReader{file});
  }

  std::vector<SavedRequest> const saved = test::sample_requests_with_policies();
  test::ScratchFolder folder;
  std::string name = folder / "step-000000000040.h5";
  int made_ = 0;
};

TEST_F(CheckpointPolicies, ComeBackAsTheyWere) {
  CheckpointReader const reader{name};
  for (std::size_t i = 0; i < saved.size(); ++i) {
    EXPECT_EQ(reader.requests()[i].policy, saved[i].policy);
    EXPECT_EQ(reader.requests()[i].evicted, saved[i].evicted);
  }
  EXPECT_EQ(reader.pages().size(), 9u);   // 10 without the evicted one
}

TEST_F(CheckpointPolicies, AreGatheredFromTheirHomes) {
  comm::run_inprocess({.ranks = 3}, [&](comm::World& world) { test::write_sample_on(world, folder / "of-three.h5", test::sample_facts(), saved); });
  CheckpointReader const reader{folder / "of-three.h5"};
  for (std::size_t i = 0; i < saved.size(); ++i) {
    EXPECT_EQ(reader.requests()[i].policy, saved[i].policy);
    EXPECT_EQ(reader.requests()[i].evicted, saved[i].evicted);
  }
}

TEST_F(CheckpointPolicies, AnEvictedPageIsNoGap) {
  CheckpointReader const reader{name};
  auto const found = verify_checkpoint(reader);
  EXPECT_THAT(found.gaps, IsEmpty());
  EXPECT_EQ(found.pages, 9u);
  EXPECT_EQ(found.restored, 15);
  RestoredPages const pages{reader, test::sample_layers};
  EXPECT_EQ(pages.blocks({11, 1}), 3);
  EXPECT_FALSE(pages.row({11, 1}, 1, 1).has_value());
  ASSERT_TRUE(pages.row({11, 1}, 0, 1).has_value());
  EXPECT_EQ(reader.pages()[*pages.row({11, 1}, 0, 1)].block, 1);
}

TEST_F(CheckpointPolicies, AJobWithoutThemHasNoTablesOfThem) {
  auto const without = folder / "without.h5";
  test::write_sample(without);
  hdf5::File const file{H5Fopen(without.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), "open"};
  for (char const* const table : {"policies", "policy_state", "evicted"}) EXPECT_EQ(H5Lexists(file.get(), table, H5P_DEFAULT), 0) << table;
}

TEST_F(CheckpointPolicies, ThatContradictThePagesAreTold) {
  EXPECT_EQ(contradiction([](auto&) {}), "");
  EXPECT_THAT(contradiction([](auto& one) { one.evicted.push_back({0, 1}); }), HasSubstr("is there twice"));
  EXPECT_THAT(contradiction([](auto& one) { one.evicted.push_back({1, 1}); }), HasSubstr("(layer 1, block 1) that is there twice"));
  EXPECT_THAT(contradiction([](auto& one) { one.evicted = {{2, 1}}; }), HasSubstr("which the model does not have"));
  EXPECT_THAT(contradiction([](auto& one) { one.evicted = {{-1, 1}}; }), HasSubstr("which the model does not have"));
  EXPECT_THAT(contradiction([](auto& one) { one.evicted = {{1, -1}}; }), HasSubstr("behind the end of its stream"));
  EXPECT_THAT(contradiction([](auto& one) { one.evicted = {{1, 2}}; }), HasSubstr("is not full"));
  EXPECT_THAT(contradiction([](auto& one) { one.evicted = {{1, 1 << 30}}; }), HasSubstr("is not full"));
}

TEST_F(CheckpointPolicies, RowsThatPointElsewhereAreRefused) {
  auto const damages = {
      +[](PackedRequests& packed) { packed.policies[0].index = 2; },   // waits
      +[](PackedRequests& packed) { packed.policies[0].index = 5; },
      +[](PackedRequests& packed) { packed.policies[0].index = -1; },
      +[](PackedRequests& packed) { packed.policies[1].index = 1; },   // a second one
      +[](PackedRequests& packed) { packed.policies[0].version += 1; },
      +[](PackedRequests& packed) { packed.policies[0].state_at = 1; },
      +[](PackedRequests& packed) { packed.policies[0].state_bytes = std::int64_t{1} << 62; },
      +[](PackedRequests& packed) { packed.policies[1].state_bytes -= 1; },
      +[](PackedRequests& packed) { packed.policies[0].evicted_pages = -1; },
      +[](PackedRequests& packed) { packed.policies[1].evicted_pages = 7; },
      +[](PackedRequests& packed) { packed.policies.pop_back(); },
  };
  int number = 0;
  for (auto const& damage : damages) {
    auto packed = pack(saved);
    damage(packed);
    EXPECT_THAT(test::error_of([&] { (void)unpack(packed); }), StartsWith("RunError: ")) << number++;
  }
}

TEST_F(CheckpointPolicies, TheDigestChangesWithEveryBitOfThem) {
  auto const packed = pack(saved);
  auto const before = tables_digest(test::sample_facts(), packed, {});
  auto const damages = {
      +[](PackedRequests& other) { other.policy_state[3] ^= 1; },
      +[](PackedRequests& other) { other.evicted[0].block ^= 1; },
      +[](PackedRequests& other) { other.policies[1].evicted_at ^= 1; },
      +[](PackedRequests& other) { other.policies.pop_back(); },
      +[](PackedRequests& other) { other.policies.clear(); },
  };
  for (auto const& damage : damages) {
    auto other = packed;
    damage(other);
    EXPECT_NE(tables_digest(test::sample_facts(), other, {}), before);
  }
}

TEST_F(CheckpointPolicies, AnyByteOfTheStateThatChangesInTheFileIsSeen) {
  std::ifstream in{name, std::ios::binary};
  std::string const whole{std::istreambuf_iterator<char>{in}, {}};
  auto const at = whole.find(saved[1].policy);
  ASSERT_NE(at, std::string::npos);
  for (std::size_t i = 0; i < saved[1].policy.size(); ++i) {
    auto damaged = whole;
    damaged[at + i] ^= 32;
    auto const file = folder / ("damaged" + std::to_string(i) + ".h5");
    std::ofstream{file, std::ios::binary} << damaged;
    EXPECT_THAT(test::error_of([&] { CheckpointReader const reader{file}; }), AllOf(StartsWith("RunError: " + file), HasSubstr("tables_xxh3 differs")));
  }
}

TEST(PolicyState, ListsAndValuesComeBackInOrder) {
  StateWriter out;
  out.value(std::int32_t{7});
  out.list(std::vector<double>{.5, -1});
  out.list(std::vector<float>{});
  out.value(true);
  auto const bytes = out.take();
  EXPECT_EQ(bytes.size(), 4 + 8 + 16 + 8 + 1u);
  StateReader in{bytes};
  std::vector<double> numbers;
  std::vector<float> none{1};
  EXPECT_EQ(in.value<std::int32_t>(), 7);
  in.list(numbers);
  in.list(none);
  EXPECT_EQ(numbers, (std::vector<double>{.5, -1}));
  EXPECT_TRUE(none.empty());
  EXPECT_TRUE(in.value<bool>());
  EXPECT_TRUE(in.empty());
  EXPECT_THROW(in.value<char>(), RunError);
}

TEST(PolicyState, AListThatClaimsMoreThanThereIsIsRefusedWithoutTakingMemory) {
  StateWriter out;
  out.value(~std::uint64_t{0} / 8);
  auto const bytes = out.take();
  StateReader in{bytes};
  std::vector<double> numbers;
  EXPECT_THROW(in.list(numbers), RunError);
  EXPECT_TRUE(numbers.empty());
}

}   // namespace
}   // namespace pikv::runtime
