#include <gtest/gtest.h>

#include <hdf5.h>

#include <numeric>
#include <string>

#include "comm/error.hpp"
#include "comm/faults.hpp"
#include "comm/hdf5_access.hpp"
#include "comm/mpi_world.hpp"
#include "conformance.hpp"
#include "mpi_test_main.hpp"

namespace pikv::comm::test {
namespace {

class MpiConformance : public ::testing::TestWithParam<Case> {
 protected:
  void TearDown() override { mpi_world().barrier(soon(mpi_world())); }
};
TEST_P(MpiConformance, Holds) { GetParam().body(mpi_world()); }
INSTANTIATE_TEST_SUITE_P(All, MpiConformance, ::testing::ValuesIn(all_cases()), [](auto const& instance) { return std::string{instance.param.name}; });

class MpiConformanceUnderFaults : public MpiConformance {};
TEST_P(MpiConformanceUnderFaults, HoldsWhenTransfersAreOnlyLateOrTwice) {
  FaultPlan const plan{.delay = .1, .duplicate = .2, .reorder = .2, .stall = .02, .stall_ms = 1, .on_message = true};
  GetParam().body(*make_faulty_world(mpi_world(), plan));
}
INSTANTIATE_TEST_SUITE_P(All, MpiConformanceUnderFaults, ::testing::ValuesIn(cases_that_allow_faults()),
                         [](auto const& instance) { return std::string{instance.param.name}; });

struct Mpi : ::testing::Test {
  World& world = mpi_world();
};

TEST_F(Mpi, AllRanksOfThisMachineShareAHost) { EXPECT_EQ(world.hosts(), 1); }

TEST_F(Mpi, IsNotInProcess) { EXPECT_FALSE(world.in_process()); }

TEST_F(Mpi, ARankMissingFromABarrierIsNamed) {
  if (world.size() == 1) GTEST_SKIP() << "needs a second rank";
  Rank const late = world.size() - 1;
  if (world.rank() == late) {
    world.pause(0.5);
  } else {
    try {
      world.barrier(world.in(0.1));
      ADD_FAILURE() << "the barrier ended without rank " << late;
    } catch (RunError const& error) {
      EXPECT_NE(std::string{error.what()}.find("rank " + std::to_string(late) + " did not answer"), std::string::npos) << error.what();
    }
  }
  if (world.rank() == late) world.barrier(soon(world));   // takes the messages of the barrier that the others left
  world.barrier(soon(world));
}

TEST_F(Mpi, ADamagedMessageIsCorruptAndNamesItsSender) {
  FaultPlan plan{.flip = world.rank() == 0 ? 0.5 : 0, .truncate = world.rank() == 0 ? 0.5 : 0, .on_message = true};
  auto const faulty = make_faulty_world(world, plan);
  auto const exchange = faulty->make_exchange({"damaged", 1, 100});
  for (Rank to = 0; to < world.size(); ++to) (void)exchange->outgoing(to).append(40);
  exchange->start();
  bool const damaged = world.rank() != 0;
  EXPECT_EQ(exchange->finish(soon(world)), damaged ? Status::corrupt : Status::arrived);
  EXPECT_EQ(exchange->blame(), damaged ? std::vector<Rank>{0} : std::vector<Rank>{});
  world.barrier(soon(world));
}

TEST_F(Mpi, MessagesAbove2GiBAreRefused) {
  if (world.make_transport()->name() != "mpi") GTEST_SKIP() << "a limit of MPI alone";
  EXPECT_THROW((void)world.make_exchange({"huge", 1, std::size_t{1} << 31}), RunError);
}

TEST_F(Mpi, AllRanksWriteOneHdf5File) {
  std::string const name = "comm_mpi_test_" + std::to_string(world.size()) + ".h5";
  auto const ranks = static_cast<hsize_t>(world.size());
  int const mine = 100 + world.rank();
  hid_t const access = hdf5_file_access(world), transfer = hdf5_transfer(world);
  hid_t const file = H5Fcreate(name.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
  ASSERT_GE(file, 0);
  hid_t const space = H5Screate_simple(1, &ranks, nullptr);
  hid_t const data = H5Dcreate2(file, "ranks", H5T_NATIVE_INT, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  hsize_t const at = static_cast<hsize_t>(world.rank()), one = 1;
  hid_t const memory = H5Screate_simple(1, &one, nullptr);
  H5Sselect_hyperslab(space, H5S_SELECT_SET, &at, nullptr, &one, nullptr);
  EXPECT_GE(H5Dwrite(data, H5T_NATIVE_INT, memory, space, transfer, &mine), 0);
  std::vector<int> all(ranks), expected(ranks);
  EXPECT_GE(H5Dread(data, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, transfer, all.data()), 0);
  std::iota(expected.begin(), expected.end(), 100);
  EXPECT_EQ(all, expected);
  for (hid_t const id : {memory, space}) H5Sclose(id);
  H5Dclose(data);
  H5Fclose(file);
  for (hid_t const id : {access, transfer}) H5Pclose(id);
  if (world.rank() == 0) std::remove(name.c_str());
}

TEST_F(Mpi, TheLibraryIsNamed) {
  EXPECT_NE(mpi_version().find("MPI 3."), std::string::npos) << mpi_version();
  EXPECT_NE(mpi_version().find("thread level funneled"), std::string::npos) << mpi_version();
}

TEST_F(Mpi, KnowsWhetherItIsOneOfSeveral) { EXPECT_EQ(launched_by_mpi(), world.size() > 1); }

}  // namespace
}  // namespace pikv::comm::test
