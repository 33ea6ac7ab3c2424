#include "comm/gpu_placement.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#include "comm/gpus.hpp"
#include "comm/numa.hpp"

namespace pikv::comm::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

PciDevice const near_0{"0000:17:00.0", 0}, also_0{"0000:3d:00.0", 0}, near_1{"0000:CA:00.0", 1}, also_1{"0000:E1:00.0", 1};

RankSite site(int host, std::vector<PciDevice> gpus, std::vector<int> core_nodes = {}, std::vector<PciDevice> cards = {}) {
  return {host, "node" + std::to_string(host), std::move(gpus), std::move(core_nodes), std::move(cards)};
}

TEST(GpuPlacement, RanksThatSeeTheSameGpusTakeTurns) {
  std::vector const all{near_0, also_0, near_1, also_1};
  auto const placement = place_on_gpus(std::vector{site(0, all), site(1, all), site(0, all), site(1, all), site(0, all)});
  EXPECT_THAT(placement.gpus, ElementsAre(0, 0, 1, 1, 2));
  EXPECT_EQ(placement.why_shared, "");
  EXPECT_THAT(placement.complaints, IsEmpty());
}

TEST(GpuPlacement, ARankThatSeesOneTakesIt) {
  auto const placement = place_on_gpus(std::vector{site(0, {near_0}), site(0, {also_0})});
  EXPECT_THAT(placement.gpus, ElementsAre(0, 0));
  EXPECT_EQ(placement.why_shared, "");
}

TEST(GpuPlacement, ThoseThatSeeFewestChooseFirst) {
  auto const placement = place_on_gpus(std::vector{site(0, {near_0, also_0}), site(0, {near_0}), site(0, {also_0, near_1})});
  EXPECT_THAT(placement.gpus, ElementsAre(1, 0, 1));
  EXPECT_EQ(placement.why_shared, "");
}

TEST(GpuPlacement, NobodySharesWhereAllCanHaveTheirOwn) {   // the first must leave its first to the second, and that its own to the third
  auto const placement = place_on_gpus(std::vector{site(0, {near_0, also_0}), site(0, {near_0, near_1}), site(0, {near_1, near_0})});
  EXPECT_THAT(placement.gpus[0], 1);
  EXPECT_EQ(placement.why_shared, "");
}

TEST(GpuPlacement, RanksGetGpusOfTheirCoresNodeWhateverTheirTurn) {
  std::vector const all{near_0, also_0, near_1, also_1};
  auto const placement = place_on_gpus(std::vector{site(0, all, {1}), site(0, all, {0}), site(0, all, {1}), site(0, all, {0})});
  EXPECT_THAT(placement.gpus, ElementsAre(2, 0, 3, 1));
  EXPECT_THAT(placement.complaints, IsEmpty());
}

TEST(GpuPlacement, SharingIsSaidOncePerHost) {
  auto const placement = place_on_gpus(std::vector{site(0, {near_0}), site(0, {near_0}), site(0, {near_0}), site(1, {near_0})});
  EXPECT_THAT(placement.gpus, ElementsAre(0, 0, 0, 0));
  EXPECT_EQ(placement.why_shared, "ranks 0, 1, 2 of node0 share a GPU");
  EXPECT_THAT(placement.complaints, ElementsAre("3 ranks of node0 share 1 GPU (ranks 0, 1, 2 the one at 0000:17:00.0); start a rank per GPU, as --ntasks-per-node says"));
}

TEST(GpuPlacement, ARankWithoutOneSharesNone) {
  auto const placement = place_on_gpus(std::vector{site(0, {near_0}), site(0, {near_0}), site(0, {})});
  ASSERT_EQ(placement.complaints.size(), 2u);
  EXPECT_EQ(placement.complaints[0], "2 ranks of node0 share 1 GPU (ranks 0, 1 the one at 0000:17:00.0); start a rank per GPU, as --ntasks-per-node says");
}

TEST(GpuPlacement, ARankWithoutOneIsNamedWhereOthersHaveOne) {
  auto const placement = place_on_gpus(std::vector{site(0, {near_0}), site(1, {}), site(1, {})});
  EXPECT_TRUE(placement.any());
  EXPECT_THAT(placement.gpus, ElementsAre(0, -1, -1));
  EXPECT_EQ(placement.why_shared, "rank 1 on node1 sees no GPU");
  EXPECT_THAT(placement.complaints, ElementsAre("2 of 3 ranks see no GPU, the first of them rank 1 on node1; look at nvidia-smi and CUDA_VISIBLE_DEVICES there"));
}

TEST(GpuPlacement, WithoutAnyThereIsNothingToSay) {
  auto const placement = place_on_gpus(std::vector{site(0, {}, {0}), site(0, {}, {0})});
  EXPECT_FALSE(placement.any());
  EXPECT_EQ(placement.why_shared, "");
  EXPECT_THAT(placement.complaints, IsEmpty());
}

TEST(GpuPlacement, CoresOfAnotherNodeAreSaidOncePerHostWithTheRemedy) {
  std::vector const all{near_0, near_1, also_1};
  auto const placement = place_on_gpus(std::vector{site(0, all, {0}), site(0, all, {0}), site(0, all, {0}), site(1, all, {0, 1}), site(1, all, {0, 1})});
  ASSERT_EQ(placement.complaints.size(), 1u);
  EXPECT_EQ(placement.complaints[0],
            "rank 1 on node0 has its GPU at 0000:CA:00.0 on NUMA node 1 and its cores on node 0, and so it is with 1 rank more there, so copies cross "
            "between nodes; bind a rank to the cores of its GPU's node (srun --gpus-per-task=1 --gpu-bind=closest, or mpirun --map-by numa)");
}

TEST(GpuPlacement, ACardOfAnotherNodeIsSaid) {
  auto const placement = place_on_gpus(std::vector{site(0, {near_0}, {0}, {{"mlx5_1", 1}}), site(0, {also_0}, {0}, {{"mlx5_1", 1}, {"mlx5_0", 0}})});
  ASSERT_EQ(placement.complaints.size(), 1u);
  EXPECT_THAT(placement.complaints[0], HasSubstr("rank 0 on node0 has its GPU at 0000:17:00.0 on NUMA node 0 and its network card mlx5_1 on node 1, so"));
  EXPECT_THAT(placement.complaints[0], HasSubstr("; name a card of the GPU's node, or leave UCX_NET_DEVICES to slurm/bind-rank.sh"));
}

TEST(GpuPlacement, WhatTheKernelDoesNotSayIsNoComplaint) {
  PciDevice const unknown{"0000:01:00.0", -1};
  EXPECT_THAT(place_on_gpus(std::vector{site(0, {unknown}, {0}, {{"mlx5_0", 0}})}).complaints, IsEmpty());
  EXPECT_THAT(place_on_gpus(std::vector{site(0, {near_1}, {}, {{"mlx5_0", -1}})}).complaints, IsEmpty());
}

TEST(RankSites, AreReadByTheOthersAsTheyAre) {
  for (auto const& sent : {site(0, {near_0, also_1}, {0, 1}, {{"mlx5_0", 1}}), site(0, {{"0000:01:00.0", -1}}), site(0, {})}) {
    RankSite const read = site_in_json(site_as_json(sent));
    EXPECT_EQ(read.gpus, sent.gpus);
    EXPECT_EQ(read.core_nodes, sent.core_nodes);
    EXPECT_EQ(read.cards, sent.cards);
  }
}

TEST(CoreLists, AreReadAsTheKernelWritesThem) {
  EXPECT_THAT(numbers_in_list("0-3,8,10-11"), ElementsAre(0, 1, 2, 3, 8, 10, 11));
  EXPECT_THAT(numbers_in_list("5"), ElementsAre(5));
  EXPECT_THAT(numbers_in_list(""), IsEmpty());
  EXPECT_THAT(numbers_in_list("nonsense"), IsEmpty());
}

/// A machine of two NUMA nodes, made of files.
struct Sysfs : ::testing::Test {
  Sysfs() {
    write("devices/system/node/online", "0-1");
    write("devices/system/node/node0/cpulist", "0-3,8-11");
    write("devices/system/node/node1/cpulist", "4-7,12-15");
    write("bus/pci/devices/0000:ca:00.0/numa_node", "1");
    write("bus/pci/devices/0000:01:00.0/numa_node", "-1");
    write("class/infiniband/mlx5_0/device/numa_node", "0");
    write("class/net/eth0/device/numa_node", "1");
  }
  ~Sysfs() override { std::filesystem::remove_all(root); }
  void write(std::string const& path, std::string const& text) const {
    std::filesystem::create_directories((root / path).parent_path());
    std::ofstream{root / path} << text << '\n';
  }
  std::filesystem::path root = std::filesystem::temp_directory_path() / ("pikv_sysfs_" + std::to_string(::getpid()));
  NumaNodes numa{root};
};

TEST_F(Sysfs, CoresAreFoundOnTheirNodes) {
  EXPECT_THAT(numa.of_cores(std::vector{8, 1}), ElementsAre(0));
  EXPECT_THAT(numa.of_cores(std::vector{4}), ElementsAre(1));
  EXPECT_THAT(numa.of_cores(std::vector{0, 15}), ElementsAre(0, 1));
  EXPECT_THAT(numa.of_cores(std::vector{99}), IsEmpty());
}

TEST_F(Sysfs, AGpuIsFoundByTheIdThatCudaGives) {
  EXPECT_EQ(numa.of_pci("0000:CA:00.0"), 1);
  EXPECT_EQ(numa.of_pci("0000:01:00.0"), -1);
  EXPECT_EQ(numa.of_pci("0000:02:00.0"), -1);
}

TEST_F(Sysfs, CardsAreFoundByName) {
  EXPECT_EQ(numa.of_card("mlx5_0"), 0);
  EXPECT_EQ(numa.of_card("eth0"), 1);
  EXPECT_EQ(numa.of_card("lo"), -1);
}

TEST_F(Sysfs, AMachineThatSaysNothingHasNoNodes) {
  NumaNodes const nowhere{root / "none"};
  EXPECT_THAT(nowhere.of_cores(std::vector{0}), IsEmpty());
  EXPECT_EQ(nowhere.of_pci("0000:ca:00.0"), -1);
}

}  // namespace
}  // namespace pikv::comm::test
