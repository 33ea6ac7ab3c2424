#include "runtime/model/tokenizer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/runtime/model/model_files.hpp"

namespace pikv::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct TokenizerTest : ::testing::Test {
  ModelConfig config{.vocab = 256, .eos = {3}};
  test::ScratchFolder folder;
};

TEST_F(TokenizerTest, OfBytesGivesBytes) {
  auto const tokenizer = make_tokenizer(folder.path(), config);
  ASSERT_TRUE(tokenizer);
  EXPECT_THAT(tokenizer->encode("a\xC3\xA9"), ElementsAre(97, 0xC3, 0xA9));
  EXPECT_EQ(tokenizer->decode({97, 0xC3, 0xA9, 0, 255}), (std::string{"a\xC3\xA9\0\xFF", 5}));
  EXPECT_EQ(tokenizer->bos(), -1);
}

TEST_F(TokenizerTest, LeavesSpecialTokensOutOfText) {
  config.bos = 1;
  EXPECT_EQ(make_tokenizer(folder.path(), config)->decode({1, 97, 3, 98}), "ab");
}

TEST_F(TokenizerTest, IsAbsentForAnyOtherVocabulary) {
  config.vocab = 257;
  EXPECT_FALSE(make_tokenizer(folder.path(), config));
}

TEST_F(TokenizerTest, SaysWhyThereIsNone) {
  EXPECT_THAT(why_no_tokenizer(folder.path()), HasSubstr("no tokenizer.model in " + folder.path().string()));
  test::write_file(folder.path() / "tokenizer.json", "{}");
  EXPECT_THAT(why_no_tokenizer(folder.path()), HasSubstr("jobs/tokenize.py"));
  test::write_file(folder.path() / "tokenizer.model", "");
  EXPECT_THAT(why_no_tokenizer(folder.path()), HasSubstr("PIKV_SENTENCEPIECE=ON"));
}

TEST_F(TokenizerTest, IsAbsentWhereTheFolderHasOneOfItsOwn) {
  for (char const* file : {"tokenizer.json", "tokenizer_config.json", "vocab.json"}) {
    auto const path = test::write_file(folder.path() / file, "{}");
    EXPECT_FALSE(make_tokenizer(folder.path(), config)) << file;
    std::filesystem::remove(path);
  }
}

}   // namespace
}   // namespace pikv::runtime
