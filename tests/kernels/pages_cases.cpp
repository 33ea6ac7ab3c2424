#include <xxhash.h>

#include <cstring>
#include <numeric>

#include "operations.hpp"
#include "random.hpp"

namespace pikv::kernels {
namespace {

std::vector<std::byte> random_bytes(std::size_t count, std::uint32_t seed) {
  std::mt19937 bits{seed};
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(bits() >> 24);
  return bytes;
}

struct PagesShape {
  std::size_t slot_bytes, page_bytes;
  std::int32_t slots;
  std::vector<std::int32_t> listed;
};
PagesShape const pages_shapes[] = {{4096, 4096, 3, {}}, {4096, 16, 4, {3, 0}}, {8192, 4112, 5, {4, 1, 2}}, {12288, 12288, 9, {8, 7, 0, 3, 5}}};

using PagesCases = OperationCases;

TEST_P(PagesCases, GatherCopiesTheListedPagesAndNothingElse) {
  for (auto const& [slot_bytes, page_bytes, slots, listed] : pages_shapes) {
    auto const pool = random_bytes(slot_bytes * slots, 1);
    std::vector<std::byte> wanted;
    for (std::int32_t const slot : listed) {
      auto const from = pool.begin() + static_cast<std::ptrdiff_t>(slot * slot_bytes);
      wanted.insert(wanted.end(), from, from + static_cast<std::ptrdiff_t>(page_bytes));
    }
    auto const held = hold(pool);
    auto const list = hold(listed);
    Held<std::byte> const block{on(), wanted.size()};
    on().gather({held.data(), slot_bytes, page_bytes}, list.data(), static_cast<std::int32_t>(listed.size()), block.data(), stream());
    EXPECT_EQ(block.values(), wanted);
    EXPECT_EQ(held.values(), pool);
  }
}

TEST_P(PagesCases, ScatterWritesTheListedPagesAndNothingElse) {
  for (auto const& [slot_bytes, page_bytes, slots, listed] : pages_shapes) {
    auto const block = random_bytes(page_bytes * listed.size(), 2);
    auto wanted = random_bytes(slot_bytes * slots, 3);
    auto const pool = hold(wanted);
    for (std::size_t i = 0; i < listed.size(); ++i)
      std::copy_n(block.begin() + static_cast<std::ptrdiff_t>(i * page_bytes), page_bytes,
                  wanted.begin() + static_cast<std::ptrdiff_t>(listed[i] * slot_bytes));
    auto const list = hold(listed);
    auto const held_block = hold(block);
    on().scatter(held_block.data(), list.data(), static_cast<std::int32_t>(listed.size()), {pool.data(), slot_bytes, page_bytes}, stream());
    EXPECT_EQ(pool.values(), wanted);
  }
}

// Slices that end in, at, and just after a stripe of 64 bytes, a chunk of 1024, and the 32 chunks that are summed at once.
TEST_P(PagesCases, ChecksumsOfSlicesAreXxh3) {
  if (!on().checksum) GTEST_SKIP() << "the host's checksums of a page are tests/shards/header_test.cpp's";
  std::vector<std::int32_t> const listed{2, 0, 1};
  for (std::size_t const slice_bytes : {244, 248, 256, 264, 1024, 1028, 1032, 1088, 2048, 4096, 8192, 32760, 32768, 32772, 32776, 66048}) {
    for (std::int32_t const slices : {1, 3}) {
      std::size_t const slot_bytes = (slice_bytes * slices + 4095) / 4096 * 4096;
      auto const pool = random_bytes(slot_bytes * listed.size(), 4);
      std::vector<std::uint64_t> wanted;
      for (std::int32_t const slot : listed)
        for (std::int32_t slice = 0; slice < slices; ++slice)
          wanted.push_back(XXH3_64bits(pool.data() + slot * slot_bytes + slice * slice_bytes, slice_bytes));
      auto const held = hold(pool);
      auto const list = hold(listed);
      Held<std::uint64_t> const out{on(), wanted.size()};
      on().checksum({held.data(), slot_bytes, slice_bytes * slices}, list.data(), 3, slice_bytes, slices, out.data(), stream());
      EXPECT_EQ(out.values(), wanted) << slice_bytes << " bytes";
    }
  }
}

TEST_P(PagesCases, SlicesThatAreTooShortOrUnevenAreRefused) {
  if (!on().checksum) GTEST_SKIP() << "the host takes any";
  for (std::size_t const slice_bytes : {0, 240, 242, 250})
    EXPECT_THROW(on().checksum({}, nullptr, 0, slice_bytes, 1, nullptr, stream()), std::runtime_error);
}

INSTANTIATE_TEST_SUITE_P(Backends, PagesCases, ::testing::ValuesIn(backends()));

}  // namespace
}  // namespace pikv::kernels
