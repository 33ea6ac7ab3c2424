#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "made_trace.hpp"
#include "runtime/analyze/csv.hpp"
#include "runtime/analyze/json.hpp"
#include "runtime/analyze/protobuf.hpp"

namespace pikv::runtime::analyze {
namespace {

using namespace std::string_literals;

TEST(Csv, QuotesWhatMustBe) {
  Table const table{"t", {"a", "b"}, {{"plain", 1}, {"a,b", 2.5}, {"say \"hi\"", nullptr}, {"two\nlines", true}}};
  EXPECT_EQ(csv_of(table), "a,b\nplain,1\n\"a,b\",2.5\n\"say \"\"hi\"\"\",\n\"two\nlines\",true\n");
}

TEST(Json, HasAnObjectByNameForTheJobAndRowsForTheRest) {
  Table const tables[] = {{"job", {"name", "value"}, {{"ranks", 2}}}, {"t", {"a", "b"}, {{1, "x"}, {2, nullptr}}}};
  EXPECT_EQ(json_of(tables).dump(), R"({"job":{"ranks":2},"t":[{"a":1,"b":"x"},{"a":2,"b":null}]})");
}

TEST(Tables, HaveAsManyCellsAsColumns) {
  auto trace = quiet_trace(3, 10);
  trace.requests.resize(2);
  trace.pages_by_owner.resize(1);
  trace.faults.resize(1);
  trace.events = Events{{shards::PageEventRow{}}, {{0, "seal"}, {1, "place"}}};
  auto const figures = figures_of(trace);
  for (auto const& table : tables_of(trace, figures, {{"rule", 1, "finding", "change"}}))
    for (auto const& row : table.rows) EXPECT_EQ(row.size(), table.columns.size()) << table.name;
}

TEST(Protobuf, WritesTheExamplesOfItsDocumentation) {   // protobuf.dev/programming-guides/encoding
  EXPECT_EQ(Message{}.number(1, 150).bytes(), "\x08\x96\x01"s);
  EXPECT_EQ(Message{}.text(2, "testing").bytes(), "\x12\x07testing"s);
  EXPECT_EQ(Message{}.message(3, Message{}.number(1, 150)).bytes(), "\x1a\x03\x08\x96\x01"s);
  EXPECT_EQ(Message{}.number(1, static_cast<std::uint64_t>(-2)).bytes(), "\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"s);
}

}   // namespace
}   // namespace pikv::runtime::analyze
