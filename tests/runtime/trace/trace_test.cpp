#include "runtime/trace.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "comm/inprocess_world.hpp"
#include "runtime/hdf5/handle.hpp"
#include "scratch_folder.hpp"
#include "tests/shards/allocations.hpp"
#include "trace_cases.hpp"

namespace pikv::runtime {
namespace {

using std::filesystem::exists;

hsize_t rows_of(std::string const& file_name, char const* table) {
  hdf5::File const file{H5Fopen(file_name.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), "open " + file_name};
  hdf5::Dataset const dataset{H5Dopen2(file.get(), table, H5P_DEFAULT), "open the table"};
  hdf5::Space const space{H5Dget_space(dataset.get()), "get the space"};
  return static_cast<hsize_t>(H5Sget_simple_extent_npoints(space.get()));
}

/// What another process would see: in this one HDF5 still knows the open file.
std::string copy_of(std::string const& name) {
  std::filesystem::copy_file(name, name + ".copy", std::filesystem::copy_options::overwrite_existing);
  return name + ".copy";
}

struct TraceTest : ::testing::TestWithParam<int> {
  /// Runs `body` on every rank and gives what each returned.
  std::vector<std::string> on_ranks(auto const& body) {
    std::vector<std::string> said(static_cast<std::size_t>(ranks));
    comm::run_inprocess({.ranks = ranks},
                        [&](comm::World& world) { said[static_cast<std::size_t>(world.rank())] = body(world); });
    return said;
  }
  int ranks = GetParam();
  test::ScratchFolder folder;
  std::string name = folder / "run.h5";
};
INSTANTIATE_TEST_SUITE_P(Ranks, TraceTest, ::testing::Values(1, 2, 3, 4));

TEST_P(TraceTest, AMissingFolderIsTheSameErrorOnEveryRank) {
  auto const said = on_ranks([&](comm::World& world) { return test::error_of_making(world, folder / "none/run.h5"); });
  EXPECT_THAT(said, ::testing::Each(said.front()));
  EXPECT_THAT(said.front(), ::testing::StartsWith("code 2: --trace="));
}

TEST_P(TraceTest, DestroyedWithoutCloseItLeavesAPartThatOpens) {
  comm::run_inprocess({.ranks = ranks}, [&](comm::World& world) { test::write_and_fail(world, name); });
  EXPECT_FALSE(exists(name));
  EXPECT_EQ(rows_of(copy_of(name + ".part"), "/steps"), 128 * static_cast<hsize_t>(ranks));
}

TEST_P(TraceTest, AFullDiskIsTheSameErrorOnEveryRankAndNothingAppears) {
  test::FileSizeLimit const limit{2 << 20};
  auto const said = on_ranks(
      [&](comm::World& world) { return test::error_of([&] { test::write_and_close(world, name, 10'000); }); });
  EXPECT_THAT(said, ::testing::Each(said.front()));
  EXPECT_THAT(said.front(), ::testing::AllOf(::testing::StartsWith("code 1: could not"), ::testing::HasSubstr("File too large")));
  EXPECT_FALSE(exists(name));
}

TEST_P(TraceTest, TheFileIsThereFromTheStart) {
  comm::run_inprocess({.ranks = ranks}, [&](comm::World& world) {
    TraceWriter const trace{world, name, test::sample_metadata(world.rank())};
  });
  EXPECT_EQ(rows_of(copy_of(name + ".part"), "/ranks"), static_cast<hsize_t>(ranks));
  EXPECT_EQ(rows_of(copy_of(name + ".part"), "/steps"), 0u);
}

TEST_P(TraceTest, AddingAStepAllocatesNothing) {
  auto const counted = on_ranks([&](comm::World& world) {
    TraceWriter trace{world, name, test::sample_metadata(world.rank())};
    test::add_sample(trace, world.rank(), world.size(), 128);
    std::size_t const before = pikv::test::allocations();
    for (std::int64_t step = 0; step < trace_batch_steps; ++step) {
      trace.add(test::sample_step(step, world.rank()));
      trace.add(std::array{test::sample_event(step, world.rank())});
    }
    trace.add(PagesByOwner{});
    return std::to_string(pikv::test::allocations() - before);
  });
  EXPECT_THAT(counted, ::testing::Each("0"));
}

TEST_P(TraceTest, AHundredThousandRowsArriveWhole) {
  std::int64_t const steps = 100'000 / ranks + 1;
  comm::run_inprocess({.ranks = ranks}, [&](comm::World& world) { test::write_and_close(world, name, steps); });
  EXPECT_EQ(rows_of(name, "/steps"), static_cast<hsize_t>(steps * ranks));
  EXPECT_FALSE(exists(name + ".part"));
}

TEST(FixedTextOfARow, IsNeverCutInsideACharacter) {
  auto const row = request_record(std::string(63, 'a') + "ß", Result{});
  EXPECT_EQ((std::string{row.id.data(), 64}), std::string(63, 'a') + '\0');
  auto const whole = request_record(std::string(62, 'a') + "ß", Result{});
  EXPECT_EQ((std::string{whole.id.data(), 64}), std::string(62, 'a') + "ß");
}

}  // namespace
}  // namespace pikv::runtime
