#include "runtime/model/checkpoint.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/runtime/model/model_files.hpp"

namespace pikv::runtime {
namespace {

using test::complaint;
using test::safetensors;
using test::write_file;
using ::testing::AllOf;
using ::testing::HasSubstr;

struct CheckpointTest : ::testing::Test {
  void write(std::string const& file, std::string const& content) { write_file(folder.path() / file, content); }
  void write_index(std::string const& weight_map) { write("model.safetensors.index.json", R"({"metadata": {}, "weight_map": )" + weight_map + "}"); }
  std::string load() {
    return complaint([&] { Checkpoint{folder.path()}; });
  }

  test::ScratchFolder folder;
  std::string const two_bytes = safetensors(R"({"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}})", "\x80\x3F");
};

TEST_F(CheckpointTest, ReadsOneFile) {
  write("model.safetensors", two_bytes);
  Checkpoint const checkpoint{folder.path()};
  auto const& w = checkpoint.tensor("w", {1});
  EXPECT_EQ(w.dtype, kernels::DType::bf16);
  EXPECT_EQ(*static_cast<std::uint16_t const*>(w.data), 0x3F80);
}

TEST_F(CheckpointTest, ReadsTheShardsOfAnIndex) {
  write("a.safetensors", safetensors(R"({"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}})", "\x80\x3F"));
  write("b.safetensors", safetensors(R"({"v": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]}})", "\x34\x12"));
  write_index(R"({"w": "a.safetensors", "v": "b.safetensors"})");
  Checkpoint const checkpoint{folder.path()};
  EXPECT_EQ(*static_cast<std::uint16_t const*>(checkpoint.tensor("w", {1}).data), 0x3F80);
  EXPECT_EQ(*static_cast<std::uint16_t const*>(checkpoint.tensor("v", {1}).data), 0x1234);
  EXPECT_EQ(checkpoint.tensor("v", {1}).dtype, kernels::DType::f16);
}

TEST_F(CheckpointTest, AlignsWhatTheFileDoesNot) {
  for (std::string padding : {"", " ", "  ", "   "}) {
    auto const header = R"({"w": {"dtype": "F32", "shape": [2], "data_offsets": [1, 9]}})" + padding;
    write("model.safetensors", safetensors(header, std::string{"?"} + std::string{"\0\0\x80\x3F\0\0\0\x40", 8}));
    Checkpoint const checkpoint{folder.path()};
    auto const* const data = static_cast<float const*>(checkpoint.tensor("w", {2}).data);
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(data) % alignof(float), 0u);
    EXPECT_EQ(data[0], 1.f);
    EXPECT_EQ(data[1], 2.f);
  }
}

TEST_F(CheckpointTest, StaysValidWhenMoved) {
  write("model.safetensors", two_bytes);
  Checkpoint first{folder.path()};
  Checkpoint const second{std::move(first)};
  EXPECT_EQ(*static_cast<std::uint16_t const*>(second.tensor("w", {1}).data), 0x3F80);
}

TEST_F(CheckpointTest, RefusesATypeThatIsNoWeightType) {
  write("model.safetensors", safetensors(R"({"w": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}})", "xx"));
  EXPECT_THAT(load(), AllOf(HasSubstr("'w'"), HasSubstr("F8_E4M3")));
}

TEST_F(CheckpointTest, NamesTheTensorThatIsMissingOrOfAnotherShape) {
  write("model.safetensors", two_bytes);
  Checkpoint const checkpoint{folder.path()};
  EXPECT_THAT(complaint([&] { (void)checkpoint.tensor("v", {1}); }), HasSubstr("no tensor 'v'"));
  EXPECT_THAT(complaint([&] { (void)checkpoint.tensor("w", {2, 3}); }), AllOf(HasSubstr("'w' has shape 1"), HasSubstr("2x3")));
}

TEST_F(CheckpointTest, RefusesAFolderWithoutWeights) { EXPECT_THAT(load(), HasSubstr("holds neither model.safetensors nor")); }

TEST_F(CheckpointTest, RefusesAnIndexThatLeadsOutOfTheFolder) {
  write("a.safetensors", two_bytes);
  for (char const* file : {"../a.safetensors", "/etc/passwd", "sub/a.safetensors", "..", ".", "", "a\\u0000b"}) {
    write_index(std::string{R"({"w": ")"} + file + R"("})");
    EXPECT_THAT(load(), AllOf(HasSubstr("'w'"), HasSubstr("file in the same folder"))) << file;
  }
  write_index(R"({"w": 3})");
  EXPECT_THAT(load(), HasSubstr("file in the same folder"));
}

TEST_F(CheckpointTest, RefusesAnIndexThatPromisesWhatIsNotThere) {
  write_index(R"({"w": "a.safetensors"})");
  EXPECT_THAT(load(), AllOf(HasSubstr("a.safetensors"), HasSubstr("No such file")));
  write("a.safetensors", two_bytes);
  write_index(R"({"v": "a.safetensors"})");
  EXPECT_THAT(load(), AllOf(HasSubstr("a.safetensors"), HasSubstr("no tensor 'v'")));
}

TEST_F(CheckpointTest, RefusesAnIndexOfAnotherForm) {
  for (char const* map : {"7", "null", "[]"}) {
    write_index(map);
    EXPECT_THAT(load(), HasSubstr("no object \"weight_map\"")) << map;
  }
  write("model.safetensors.index.json", "");
  EXPECT_THAT(load(), HasSubstr("not valid JSON"));
  write_index(R"({"w": "a.safetensors", "w": "b.safetensors"})");
  EXPECT_THAT(load(), HasSubstr("occurs twice"));
}

}   // namespace
}   // namespace pikv::runtime
