#include "runtime/model/safetensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/runtime/model/model_files.hpp"

namespace pikv::runtime {
namespace {

using test::complaint;
using test::safetensors;
using test::write_file;
using ::testing::AllOf;
using ::testing::HasSubstr;

struct SafetensorsTest : ::testing::Test {
  std::string complaint_about(std::string const& file) {
    return complaint([&] { SafetensorsFile{write_file(folder.path() / "x.safetensors", file)}; });
  }
  test::ScratchFolder folder;
};

TEST_F(SafetensorsTest, GivesShapeTypeAndBytesOfEachTensor) {
  auto const header = R"({"__metadata__": {"format": "pt"}, "b": {"dtype": "I32", "shape": [2], "data_offsets": [8, 16]},
    "a": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [0, 4]}, "scalar": {"dtype": "U8", "shape": [], "data_offsets": [4, 5]},
    "empty": {"dtype": "F32", "shape": [0, 7], "data_offsets": [2, 2]}})";
  SafetensorsFile const file{write_file(folder.path() / "x.safetensors", safetensors(header, "0123456789abcdef"))};
  ASSERT_EQ(file.tensors().size(), 4u);
  auto const text = [&](char const* name) {
    auto const bytes = file.tensors().at(name).bytes;
    return std::string{reinterpret_cast<char const*>(bytes.data()), bytes.size()};
  };
  EXPECT_EQ(text("a"), "0123");
  EXPECT_EQ(text("b"), "89abcdef");
  EXPECT_EQ(text("scalar"), "4");
  EXPECT_EQ(text("empty"), "");
  EXPECT_EQ(file.tensors().at("a").dtype, "BF16");
  EXPECT_EQ(file.tensors().at("a").shape, (std::vector<std::int64_t>{1, 2}));
}

struct Lie {
  char const* what;
  char const* entry;   // of the tensor "w", beside "v" in bytes 0..8; the data has 16 bytes
  char const* says;
};

struct LyingEntryTest : SafetensorsTest, ::testing::WithParamInterface<Lie> {};

TEST_P(LyingEntryTest, IsRefusedByName) {
  auto const header = R"({"v": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "w": )" + std::string{GetParam().entry} + "}";
  EXPECT_THAT(complaint_about(safetensors(header, std::string(16, 'x'))),
              AllOf(HasSubstr("x.safetensors"), HasSubstr("w"), HasSubstr(GetParam().says)));
}

INSTANTIATE_TEST_SUITE_P(
    Entries, LyingEntryTest,
    ::testing::Values(Lie{"EndsOutside", R"({"dtype": "F32", "shape": [4], "data_offsets": [8, 24]})", "ends at byte 24 of 16"},
                      Lie{"EndsFarOutside", R"({"dtype": "F32", "shape": [4], "data_offsets": [8, 18446744073709551615]})", "ends at byte"},
                      Lie{"BeginsAfterItsEnd", R"({"dtype": "F32", "shape": [2], "data_offsets": [16, 8]})", "not [begin, end]"},
                      Lie{"OneOffset", R"({"dtype": "F32", "shape": [2], "data_offsets": [16]})", "not [begin, end]"},
                      Lie{"NegativeOffset", R"({"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]})", "data_offsets"},
                      Lie{"FractionalOffset", R"({"dtype": "F32", "shape": [2], "data_offsets": [8.5, 16]})", "data_offsets"},
                      Lie{"Overlaps", R"({"dtype": "F32", "shape": [2], "data_offsets": [4, 12]})", "overlaps tensor 'v'"},
                      Lie{"OverlapsExactly", R"({"dtype": "F32", "shape": [2], "data_offsets": [0, 8]})", "overlaps"},
                      Lie{"ShapeTooLarge", R"({"dtype": "F32", "shape": [3], "data_offsets": [8, 16]})", "takes 12 bytes"},
                      Lie{"ShapeTooSmall", R"({"dtype": "F32", "shape": [1], "data_offsets": [8, 16]})", "takes 4 bytes"},
                      Lie{"ShapeWraps", R"({"dtype": "F32", "shape": [4611686018427387905, 4], "data_offsets": [8, 16]})", "too large to count"},
                      Lie{"ShapeBeyond63Bits", R"({"dtype": "U8", "shape": [18446744073709551615], "data_offsets": [8, 16]})", "too large to count"},
                      Lie{"NegativeShape", R"({"dtype": "F32", "shape": [-2], "data_offsets": [8, 16]})", "shape"},
                      Lie{"ShapeIsAString", R"({"dtype": "F32", "shape": "2", "data_offsets": [8, 16]})", "shape"},
                      Lie{"NoShape", R"({"dtype": "F32", "data_offsets": [8, 16]})", "shape"},
                      Lie{"NoOffsets", R"({"dtype": "F32", "shape": [2]})", "data_offsets"},
                      Lie{"UnknownType", R"({"dtype": "F33", "shape": [2], "data_offsets": [8, 16]})", "unknown dtype 'F33'"},
                      Lie{"NoType", R"({"shape": [2], "data_offsets": [8, 16]})", "no dtype"}, Lie{"NotAnObject", "7", "not described by an object"},
                      Lie{"KeyTwice", R"({"dtype": "F32", "shape": [2], "shape": [2], "data_offsets": [8, 16]})", "\"shape\" occurs twice"}),
    [](auto const& lie) { return lie.param.what; });

TEST_F(SafetensorsTest, RefusesATensorThatOccursTwice) {
  auto const tensor = std::string{R"("v": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]})"};
  EXPECT_THAT(complaint_about(safetensors("{" + tensor + "," + tensor + "}", "xx")), HasSubstr("\"v\" occurs twice"));
}

TEST_F(SafetensorsTest, RefusesAHeaderThatIsNotInTheFile) {
  EXPECT_THAT(complaint_about(""), HasSubstr("has 0 bytes"));
  EXPECT_THAT(complaint_about("1234567"), HasSubstr("has 7 bytes"));
  EXPECT_THAT(complaint_about(safetensors("{}", "", 3)), HasSubstr("header of 3 bytes in a file of 10"));
  EXPECT_THAT(complaint_about(safetensors("{}", "", ~std::uint64_t{0})), HasSubstr("header of 18446744073709551615 bytes"));
}

TEST_F(SafetensorsTest, RefusesAHeaderOfMoreThan100MB) {
  auto const path = write_file(folder.path() / "x.safetensors", safetensors("{}", "", 100'000'001));
  std::filesystem::resize_file(path, 100'000'100);
  EXPECT_THAT(complaint([&] { SafetensorsFile{path}; }), HasSubstr("header of 100000001 bytes"));
}

TEST_F(SafetensorsTest, RefusesAHeaderThatIsNotAJsonObject) {
  EXPECT_THAT(complaint_about(safetensors("", "")), HasSubstr("not valid JSON"));
  EXPECT_THAT(complaint_about(safetensors("{\"a\": ", "")), HasSubstr("not valid JSON"));
  EXPECT_THAT(complaint_about(safetensors("[]", "")), HasSubstr("not a JSON object"));
  EXPECT_THAT(complaint_about(safetensors("{\"\xFF\": 1}", "")), HasSubstr("not UTF-8"));
  EXPECT_THAT(complaint_about(safetensors(R"({"a": {"shape": [1e999]}})", "")), HasSubstr("out of range"));
  EXPECT_THAT(complaint_about(safetensors(std::string(1'000'000, '['), "")), HasSubstr("not valid JSON"));
}

TEST_F(SafetensorsTest, RefusesWhatIsNotARegularFile) {
  auto const pipe = folder.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(complaint([&] { SafetensorsFile{pipe}; }), HasSubstr("not a regular file"));
  EXPECT_THAT(complaint([&] { SafetensorsFile{folder.path()}; }), HasSubstr("not a regular file"));
  EXPECT_THAT(complaint([&] { SafetensorsFile{folder.path() / "absent"}; }), AllOf(HasSubstr("absent"), HasSubstr("No such file")));
}

}   // namespace
}   // namespace pikv::runtime
