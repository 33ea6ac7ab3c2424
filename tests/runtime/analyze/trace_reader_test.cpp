#include "runtime/analyze/trace_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <stdexcept>

#include "comm/inprocess_world.hpp"
#include "runtime/apart.hpp"
#include "runtime/analyze/figures.hpp"
#include "runtime/analyze/report.hpp"
#include "runtime/hdf5/attribute.hpp"
#include "runtime/hdf5/handle.hpp"
#include "runtime/hdf5/table.hpp"
#include "tests/runtime/trace/scratch_folder.hpp"
#include "tests/runtime/trace/trace_cases.hpp"

/// For the address sanitizer: HDF5 loses memory of its own on some damaged files.
extern "C" char const* __lsan_default_suppressions() { return "leak:libhdf5"; }

namespace pikv::runtime::analyze {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::int64_t steps = 128;
constexpr int ranks = 3;

struct TraceReaderTest : ::testing::Test {
  void SetUp() override {
    comm::run_inprocess({.ranks = ranks}, [&](comm::World& world) { test::write_and_close(world, name, steps); });
  }
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
  /// A copy of the trace in which `change` was made.
  std::string changed(auto const& change) {
    auto const file = file_of(bytes_of(name));
    hdf5::File const open{H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), "open " + file};
    change(open.get());
    return file;
  }
  std::string error_of_reading(std::string const& file) {
    return test::error_of([&] { (void)read_trace(file); });
  }
  /// One sentence that names the file.
  void expect_refused(std::string const& file, char const* why) {
    EXPECT_THAT(error_of_reading(file), AllOf(StartsWith("RunError: " + file), HasSubstr(why), Not(HasSubstr("\n"))));
  }

  test::ScratchFolder folder;
  std::string name = folder / "run.h5";
  int files_ = 0;
};

TEST_F(TraceReaderTest, GivesBackWhatWasWritten) {
  auto const trace = read_trace(name);
  EXPECT_TRUE(trace.whole);
  EXPECT_EQ(trace.version, "0.1.0");
  EXPECT_EQ(trace.started, "2025-01-31T12:00:00Z");
  EXPECT_EQ(trace.command_line.size(), std::string{"pikv generate --prompt "}.size() + 100'000);
  EXPECT_EQ(number_in(trace.options, "page-tokens", 0), 16);
  EXPECT_EQ(text_in(trace.options, "given"), "page-tokens trace");
  EXPECT_EQ(text_in(trace.model, "architecture"), "MixtralForCausalLM");
  ASSERT_TRUE(trace.events);
  ASSERT_EQ(trace.events->rows.size(), static_cast<std::size_t>(ranks * steps));
  EXPECT_EQ(kind_of(*trace.events, trace.events->rows[ranks * 3]), "index");
  ASSERT_EQ(trace.ranks.size(), 3u);
  EXPECT_EQ(trace.ranks[2].kv_capacity_bytes, 4096u * 3);
  ASSERT_EQ(trace.requests.size(), 2u);
  EXPECT_THAT(text_of(trace.requests[0].id), StartsWith("größe-1xxx"));
  EXPECT_EQ(text_of(trace.requests[0].finish), "stop");
  ASSERT_EQ(trace.steps.size(), static_cast<std::size_t>(ranks * steps));
  ASSERT_EQ(trace.faults.size(), static_cast<std::size_t>(ranks * 2));
}

TEST_F(TraceReaderTest, PutsStepsInOrderWithEveryField) {
  auto const trace = read_trace(name);
  auto const type = step_rows();
  std::vector<std::byte> read(type.row_bytes()), written(type.row_bytes());
  for (std::size_t i = 0; i < trace.steps.size(); ++i) {
    type.pack(&trace.steps[i], read.data());
    auto const expected = test::sample_step(static_cast<std::int64_t>(i) / ranks, static_cast<std::int32_t>(i) % ranks);
    type.pack(&expected, written.data());
    ASSERT_EQ(read, written) << "row " << i;
  }
}

TEST_F(TraceReaderTest, ReadsAPartAsFarAsItWasFlushed) {
  auto const other = folder / "failed.h5";
  comm::run_inprocess({.ranks = ranks}, [&](comm::World& world) { test::write_and_fail(world, other); });
  auto const copy = folder / "copy.h5.part";   // what another process would see
  std::filesystem::copy_file(other + ".part", copy);
  auto const trace = read_trace(copy);
  EXPECT_FALSE(trace.whole);
  EXPECT_EQ(trace.steps.size(), 128u * ranks);
}

TEST_F(TraceReaderTest, AMissingTraceIsTold) {
  expect_refused(folder / "none.h5", "does not exist");
  std::filesystem::copy_file(name, folder / "b.h5.part");
  expect_refused(folder / "b.h5", "b.h5.part does");
}

TEST_F(TraceReaderTest, WhatIsNoTraceIsTold) {
  expect_refused(folder / "", "is a folder");
  expect_refused("/dev/null", "not a file that can be read");
  expect_refused(file_of(""), "is empty");
  expect_refused(file_of("step,rank\n0,0\n"), "is not an HDF5 file");
  expect_refused(changed([](hid_t file) { H5Adelete(file, "format"); }), "does not say its format");
}

TEST_F(TraceReaderTest, AnotherFormatIsTold) {
  auto const file = changed([](hid_t open) {
    H5Adelete(open, "format");
    hdf5::write(open, {"format", std::int64_t{77}});
  });
  expect_refused(file, "its format is 77, and this pikv reads 2 to 4");
}

TEST_F(TraceReaderTest, EveryMissingGroupIsTold) {
  for (char const* group : {"options", "model", "libraries", "ranks", "requests", "steps", "pages_by_owner", "faults", "events"}) {
    auto const file = changed([&](hid_t open) { H5Ldelete(open, group, H5P_DEFAULT); });
    expect_refused(file, (std::string{"it has no /"} + group).c_str());
  }
}

TEST_F(TraceReaderTest, ATableThatIsNoneIsTold) {
  expect_refused(changed([](hid_t open) {
                   H5Ldelete(open, "steps", H5P_DEFAULT);
                   hdf5::write_group(open, "steps", {});
                 }),
                 "/steps");
  expect_refused(changed([](hid_t open) {
                   H5Ldelete(open, "steps", H5P_DEFAULT);
                   hdf5::Table const empty{open, "steps", request_rows(), 8};
                 }),
                 "/steps has no field");
}

TEST_F(TraceReaderTest, RowsThatNoJobWritesAreTold) {
  auto const with_step = [&](auto const& damage) {
    return changed([&](hid_t open) {
      H5Ldelete(open, "steps", H5P_DEFAULT);
      StepRecord row = test::sample_step(0, 0);
      damage(row);
      hdf5::RowBuffer rows{step_rows(), 1};
      rows.add(&row);
      hdf5::Table table{open, "steps", step_rows(), 8};
      table.grow(1);
      table.write(rows.bytes(), 0, H5P_DEFAULT);
    });
  };
  EXPECT_EQ(error_of_reading(with_step([](StepRecord&) {})), "no error");
  for (auto const& damage :
       {+[](StepRecord& row) { row.rank = ranks; }, +[](StepRecord& row) { row.rank = -1; }, +[](StepRecord& row) { row.step = -1; },
        +[](StepRecord& row) { row.end = -1; }, +[](StepRecord& row) { row.stage_s[3] = NAN; }})
    expect_refused(with_step(damage), "row 0 of /steps is none that a job writes");
}

TEST_F(TraceReaderTest, EventsThatNoJobWritesAreTold) {
  auto const with_event = [&](hdf5::RowType const& type, auto const& damage) {
    return changed([&](hid_t open) {
      H5Ldelete(open, "events", H5P_DEFAULT);
      auto row = test::sample_event(0, 0);
      damage(row);
      hdf5::RowBuffer rows{type, 1};
      rows.add(&row);
      hdf5::Table table{open, "events", type, 8};
      table.grow(1);
      table.write(rows.bytes(), 0, H5P_DEFAULT);
    });
  };
  auto const nothing = [](shards::PageEventRow&) {};
  EXPECT_EQ(error_of_reading(with_event(event_rows(), nothing)), "no error");
  for (auto const& damage : {+[](shards::PageEventRow& row) { row.rank = ranks; }, +[](shards::PageEventRow& row) { row.rank = -1; },
                             +[](shards::PageEventRow& row) { row.step = -1; }, +[](shards::PageEventRow& row) { row.event = 99; }})
    expect_refused(with_event(event_rows(), damage), "row 0 of /events is none that a job writes");
  auto const without_names = hdf5::RowType{}.add("event", &shards::PageEventRow::event);
  expect_refused(with_event(without_names, nothing), "/events has no field step");
}

TEST_F(TraceReaderTest, CutShortAnywhereItIsRefused) {
  auto const whole = bytes_of(name);
  std::size_t const places = std::getenv("PIKV_SMALL_TESTS") ? 20 : 120;
  for (std::size_t place = 0; place < places; ++place) {
    std::size_t const length = place < 100 ? place * 7 : (whole.size() - 1) * place / (places - 1);
    auto const file = file_of(whole.substr(0, length));
    expect_refused(file, "");
    std::filesystem::remove(file);
  }
}

TEST_F(TraceReaderTest, WithBitsInvertedItIsReadOrRefusedButNeverCrashes) {
  auto const whole = bytes_of(name);
  std::mt19937_64 random{7};
  int refused = 0;
  int const times = std::getenv("PIKV_SMALL_TESTS") ? 20 : 120;
  for (int i = 0; i < times; ++i) {
    auto bytes = whole;
    for (std::size_t flips = 1 + random() % 8; flips > 0; --flips)
      bytes[random() % std::min<std::size_t>(bytes.size(), 20'000)] ^= static_cast<char>(1 << random() % 8);
    auto const file = file_of(bytes);
    auto const said = test::error_of([&] {
      run_apart_on(file, "--trace", [&] {
        auto const trace = read_trace(file);
        auto const figures = figures_of(trace);
        if (report_text(trace, figures, advice_for(trace, figures)).empty()) throw std::logic_error("an empty report");
      });
    });
    EXPECT_THAT(said, ::testing::AnyOf("no error", StartsWith("RunError: " + file)));
    refused += said != "no error";
    std::filesystem::remove(file);
  }
  EXPECT_GT(refused, times / 20);
}

}   // namespace
}   // namespace pikv::runtime::analyze
