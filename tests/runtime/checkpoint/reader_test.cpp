#include "runtime/checkpoint/reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <random>

#include "comm/inprocess_world.hpp"
#include "runtime/apart.hpp"
#include "runtime/checkpoint/digest.hpp"
#include "runtime/checkpoint/verify.hpp"
#include "runtime/hdf5/attribute.hpp"
#include "sample.hpp"
#include "tests/runtime/trace/scratch_folder.hpp"
#include "tests/runtime/trace/trace_cases.hpp"
#include "tests/small_form.hpp"

/// For the address sanitizer: HDF5 loses memory of its own on some damaged files.
extern "C" char const* __lsan_default_suppressions() { return "leak:libhdf5"; }

namespace pikv::runtime {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using pikv::test::small_form;

struct CheckpointReaderTest : ::testing::Test {
  void SetUp() override { test::write_sample(name); }
  std::string bytes_of(std::string const& file) {
    std::ifstream in{file, std::ios::binary};
    return {std::istreambuf_iterator<char>{in}, {}};
  }
  /// A file of its own each time: HDF5 remembers those it could not read.
  std::string file_of(std::string const& bytes) {
    auto const file = folder / ("damaged" + std::to_string(files_++) + ".h5");
    std::ofstream{file, std::ios::binary} << bytes;
    return file;
  }
  std::string changed(auto const& change) {
    auto const file = file_of(bytes_of(name));
    hdf5::File const open{H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), "open " + file};
    change(open.get());
    return file;
  }
  std::string error_of_reading(std::string const& file) {
    return test::error_of([&] { CheckpointReader const reader{file}; });
  }
  /// One sentence that names the file.
  void expect_refused(std::string const& file, std::string const& why) {
    EXPECT_THAT(error_of_reading(file), AllOf(StartsWith("RunError: " + file), HasSubstr(why), Not(HasSubstr("\n"))));
  }
  /// In a process apart: "no error", or what it says.
  std::string said_of(std::string const& file) {
    try {
      run_apart_on(file, "--checkpoint", [&] {
        CheckpointReader const reader{file};
        (void)verify_checkpoint(reader);
        if (!tables_.empty() && tables_of(reader) != tables_) throw std::logic_error("other tables were accepted");
      });
    } catch (Error const& error) {
      return error.what();
    }
    return "no error";
  }
  static std::string tables_of(CheckpointReader const& reader) { return tables_digest(reader.facts(), pack(reader.requests()), reader.pages()); }

  test::ScratchFolder folder;
  std::string name = folder / "step-000000000040.h5";
  std::string tables_;   // what must be accepted, once known
  int files_ = 0;
};

TEST_F(CheckpointReaderTest, GivesBackWhatWasWritten) {
  CheckpointReader const reader{name};
  auto const facts = test::sample_facts();
  EXPECT_EQ(reader.facts().step, 40);
  EXPECT_EQ(reader.facts().reason, "interval");
  EXPECT_EQ(reader.facts().clock_s, 12.5);
  EXPECT_EQ(reader.facts().fingerprint, facts.fingerprint);
  EXPECT_EQ(text_in(reader.facts().options, "prompts"), "größe.jsonl");
  EXPECT_EQ(real_in(reader.facts().model, "rope_theta", 0), 10000.0);
  EXPECT_EQ(pack(reader.requests()).tokens, pack(test::sample_requests()).tokens);
  EXPECT_EQ(pack(reader.requests()).text, pack(test::sample_requests()).text);
  ASSERT_EQ(reader.pages().size(), 10u);   // 3 and 2 blocks in 2 layers
  std::vector<std::byte> payload(facts.payload_bytes);
  for (std::size_t row = 0; row < reader.pages().size(); ++row) EXPECT_EQ(reader.verdict(row, payload), shards::Verdict::good) << row;
  EXPECT_FALSE(std::filesystem::exists(name + ".part"));
}

TEST_F(CheckpointReaderTest, FullPagesAreStoredBitByBitAndOpenOnesWithZerosBehind) {
  CheckpointReader const reader{name};
  std::vector<std::byte> payload(test::sample_layout.bytes()), expected(payload.size());
  shards::PageHeader header, made;
  for (std::size_t row = 0; row < reader.pages().size(); ++row) {
    PageRow const& page = reader.pages()[row];
    reader.read_page(row, header, payload);
    test::fill_sample_page({page.stream_hi, page.stream_lo}, page.layer, page.block, page.stream_lo == 1 ? 10 : 5, made, expected);
    EXPECT_EQ(header.tokens, made.tokens);
    std::size_t const heads = 4, head_bytes = payload.size() / heads;
    for (std::size_t i = 0; i < payload.size(); ++i)
      EXPECT_EQ(payload[i], i % head_bytes < head_bytes / 4 * made.tokens ? expected[i] : std::byte{0}) << "row " << row << " byte " << i;
  }
}

TEST_F(CheckpointReaderTest, AJobWithoutPagesOrRequestsIsOneToo) {
  auto const waiting = folder / "waiting.h5", none = folder / "none.h5";
  test::write_sample(waiting, test::sample_facts(), {test::sample_requests()[0]});
  test::write_sample(none, test::sample_facts(), {});
  EXPECT_EQ(CheckpointReader{waiting}.pages().size(), 0u);
  EXPECT_EQ(verify_checkpoint(CheckpointReader{waiting}).pages, 0u);
  EXPECT_EQ(CheckpointReader{none}.requests().size(), 0u);
}

TEST_F(CheckpointReaderTest, WhatIsNoCheckpointIsTold) {
  expect_refused(folder / "nowhere.h5", "is not a file that can be read");
  expect_refused(folder / "", "is not a file that can be read");
  expect_refused(file_of(""), "is not an HDF5 file");
  expect_refused(file_of("step,rank\n0,0\n"), "is not an HDF5 file");
  auto const trace = folder / "trace.h5";
  comm::run_inprocess({.ranks = 1}, [&](comm::World& world) { test::write_and_close(world, trace, 64); });
  expect_refused(trace, "does not say that it is one");
}

TEST_F(CheckpointReaderTest, AnotherFormatIsTold) {
  expect_refused(changed([](hid_t open) {
                   H5Adelete(open, "format");
                   hdf5::write(open, {"format", std::int64_t{77}});
                 }),
                 "its format is 77, and this pikv reads 2");
}

TEST_F(CheckpointReaderTest, EveryMissingPartIsTold) {
  for (char const* part : {"options", "model", "requests", "tokens", "text", "pages", "page_headers", "page_payloads"})
    expect_refused(changed([&](hid_t open) { H5Ldelete(open, part, H5P_DEFAULT); }), std::string{"it has no /"} + part);
  for (char const* attribute : {"kind", "format", "fingerprint", "tables_xxh3", "step", "reason"})
    EXPECT_THAT(error_of_reading(changed([&](hid_t open) { H5Adelete(open, attribute); })), StartsWith("RunError: ")) << attribute;
}

TEST_F(CheckpointReaderTest, AnOptionThatWasChangedIsTold) {
  expect_refused(changed([](hid_t open) {
                   hdf5::Group const options{H5Gopen2(open, "options", H5P_DEFAULT), "open"};
                   H5Adelete(options.get(), "page-tokens");
                   hdf5::write(options.get(), {"page-tokens", std::string{"8"}});
                 }),
                 "tables_xxh3 differs");
}

TEST_F(CheckpointReaderTest, DatasetsThatClaimMoreThanTheFileHoldsAreTold) {
  hsize_t const many = hsize_t{1} << 40;
  hsize_t const chunk = 1024;
  std::array<hsize_t, 2> const wide{many, test::sample_layout.bytes()};
  for (auto const& [dataset, dimensions] : {std::pair{"tokens", 1}, {"text", 1}, {"page_headers", 2}, {"page_payloads", 2}})
    EXPECT_THAT(error_of_reading(changed([&](hid_t open) {
                  H5Ldelete(open, dataset, H5P_DEFAULT);
                  hdf5::Space const space{H5Screate_simple(dimensions, wide.data(), nullptr), "space"};
                  hdf5::Properties const layout{H5Pcreate(H5P_DATASET_CREATE), "layout"};
                  std::array<hsize_t, 2> const chunks{chunk, 16};
                  H5Pset_chunk(layout.get(), dimensions, chunks.data());
                  hdf5::Dataset const made{H5Dcreate2(open, dataset, H5T_STD_U8LE, space.get(), H5P_DEFAULT, layout.get(), H5P_DEFAULT), "make"};
                })),
                AllOf(StartsWith("RunError: "), HasSubstr(dataset)));
}

TEST_F(CheckpointReaderTest, CutShortAnywhereItIsRefused) {
  auto const whole = bytes_of(name);
  std::size_t const stride = small_form() ? 4096 : 512;
  for (std::size_t length = 0; length < whole.size(); length += length < 1024 ? 64 : stride) {
    auto const file = file_of(whole.substr(0, length));
    EXPECT_THAT(said_of(file), StartsWith(file)) << length << " of " << whole.size();
    std::filesystem::remove(file);
  }
}

TEST_F(CheckpointReaderTest, WithBitsInvertedItIsRefusedOrStillTheSame) {
  auto const whole = bytes_of(name);
  {
    CheckpointReader const reader{name};
    tables_ = tables_of(reader);
  }
  EXPECT_EQ(said_of(name), "no error");
  std::mt19937_64 random{7};
  int refused = 0;
  int const times = small_form() ? 30 : 600;
  for (int i = 0; i < times; ++i) {
    auto bytes = whole;
    for (std::size_t flips = 1 + random() % 4; flips > 0; --flips) bytes[random() % bytes.size()] ^= static_cast<char>(1 << random() % 8);
    auto const file = file_of(bytes);
    auto const said = said_of(file);
    EXPECT_THAT(said, AnyOf("no error", StartsWith(file)));
    refused += said != "no error";
    std::filesystem::remove(file);
  }
  EXPECT_GT(refused, times / 4);
}

TEST_F(CheckpointReaderTest, EveryByteOfAPageThatChangesIsSeen) {
  auto const whole = bytes_of(name);
  CheckpointReader const reader{name};
  std::vector<std::byte> payload(test::sample_layout.bytes());
  shards::PageHeader header;
  reader.read_page(4, header, payload);
  auto const place = [&](void const* part, std::size_t bytes) { return whole.find(std::string{static_cast<char const*>(part), bytes}); };
  auto const header_at = place(&header, sizeof header), payload_at = place(payload.data(), payload.size());
  ASSERT_NE(header_at, std::string::npos);
  ASSERT_NE(payload_at, std::string::npos);
  for (auto const& [at, bytes] : {std::pair{header_at, sizeof header}, {payload_at, payload.size()}})
    for (std::size_t i = 0; i < bytes; i += small_form() ? 37 : 1) {
      auto damaged = whole;
      damaged[at + i] ^= 16;
      auto const file = file_of(damaged);
      CheckpointReader const other{file};
      EXPECT_THAT(test::error_of([&] {
                    try {
                      (void)verify_checkpoint(other);
                    } catch (CheckError const& error) {
                      throw RunError(error.what());
                    }
                  }),
                  HasSubstr("page 4 (stream 000000000000000b0000000000000001, layer 0, block 2) is damaged"));
      std::filesystem::remove(file);
    }
}

}   // namespace
}   // namespace pikv::runtime
