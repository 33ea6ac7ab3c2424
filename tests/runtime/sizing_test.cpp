#include "runtime/sizing.hpp"

#include <gtest/gtest.h>

#include "tests/runtime/reference_data.hpp"

namespace pikv::test {
namespace {

/// A store whose pages go to slower tiers.
struct TieredSizing : ::testing::Test {
  TieredSizing() {
    options.model = (data_folder() / "odd-mixtral").string();
    options.scheduler = "flexgen";
    options.keep = .4;
    options.store = runtime::StoreMode::local;
    requests.push_back({.prompt = std::vector<std::int32_t>(100, 1), .max_new_tokens = 20});
  }
  runtime::Sizing size(std::uint64_t host_bytes, int ranks = 1) const {
    return runtime::size_store(options, runtime::read_config(options.model), requests, ranks, ranks, free, 0, nullptr, host_bytes);
  }
  static constexpr std::uint64_t free = 1 << 30, of_host = 1 << 25;
  runtime::GenerateOptions options;
  std::vector<runtime::Request> requests;
};

TEST_F(TieredSizing, TheHostsTierIsWhatTheArenaLeavesThere) {
  auto const sizing = size(0);
  EXPECT_EQ(sizing.tier_host_bytes, free / 10 * 8 - sizing.arena_bytes - sizing.summary_bytes);
}

TEST_F(TieredSizing, BesideADevicesMemoryItIsAShareOfTheHostsAndTheArenaIsTheSame) {
  EXPECT_EQ(size(of_host).tier_host_bytes, of_host / 10 * 8);
  EXPECT_EQ(size(of_host, 2).tier_host_bytes, of_host / 10 * 8 / 2);
  EXPECT_EQ(size(of_host).arena_bytes, size(0).arena_bytes);
}

TEST_F(TieredSizing, WhatTheUserAsksForCounts) {
  options.tier_host = 4096;
  EXPECT_EQ(size(of_host).tier_host_bytes, 4096u);
}

}  // namespace
}  // namespace pikv::test
