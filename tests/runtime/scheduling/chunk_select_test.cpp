#include "runtime/scheduling/chunk_select.hpp"

#include <gtest/gtest.h>

#include <random>

#include "tests/runtime/scheduling/driver.hpp"

namespace pikv::test {
namespace {

constexpr std::int32_t window = 4;

/// A stream of `length` tokens whose last queries gave every token before them a random share.
void play(Scheduler& scheduler, std::int64_t length, std::uint32_t seed) {
  std::mt19937 random{seed};
  std::uniform_real_distribution<float> uniform;
  scheduler.begin(length);
  for (std::int64_t position = length - window; position < length; ++position) {
    std::vector<float> mass(static_cast<std::size_t>(position + 1));
    for (float& m : mass) m = uniform(random) / static_cast<float>(length);
    read(scheduler, position, blocks(static_cast<Block>(position + 1)), mass);
  }
}

std::unique_ptr<Scheduler> chunks_of(std::int32_t tokens, double keep, LayerShape shape = {}, std::span<Scheduler* const> before = {}) {
  return make_chunk_select({.shape = shape, .summaries = {}, .keep = keep, .before = before}, {.base = {.window = window, .pool = 1}, .chunk_pages = tokens});
}

std::vector<Block> kept_of(Scheduler& scheduler, std::int64_t length) {
  return kept(scheduler, length, scheduler.layer_tokens({.length = length, .tokens = length}, 0));
}

TEST(ChunkSelect, KeepsWholeChunksAndAsManyAsAsked) {
  for (std::int32_t const chunk : {2, 5, 16})
    for (std::int64_t const length : {40, 97, 160})
      for (double const keep : {.01, .25, .5, .9}) {
        auto const scheduler = chunks_of(chunk, keep);
        play(*scheduler, length, 3);
        auto const left = kept_of(*scheduler, length);
        std::vector<Block> of_chunk(static_cast<std::size_t>((length + chunk - 1) / chunk), 0);
        for (Block const token : left) ++of_chunk[static_cast<std::size_t>(token / chunk)];
        std::int64_t whole = 0;
        for (std::size_t i = 0; i < of_chunk.size(); ++i) {
          auto const size = std::min<std::int64_t>(chunk, length - static_cast<std::int64_t>(i) * chunk);
          EXPECT_TRUE(of_chunk[i] == 0 || of_chunk[i] == size) << "chunk " << i << " of " << chunk << " is cut";
          whole += of_chunk[i] > 0;
        }
        EXPECT_EQ(whole, std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(of_chunk.size()) * keep)));
      }
}

TEST(ChunkSelect, OfSingleTokensIsTheBestTokens) {
  auto const chunks = chunks_of(1, .3);
  auto const tokens = make_snapkv(material(), {.window = window, .pool = 1});
  play(*chunks, 100, 5);
  play(*tokens, 100, 5);
  EXPECT_EQ(kept_of(*chunks, 100), kept(*tokens, 100, 30));
}

TEST(ChunkSelect, KeepsTheChunkOfTheHighestMean) {
  auto const scheduler = chunks_of(2, .5);   // 4 of 8 tokens: the window's two chunks are the newest
  scheduler->begin(12);
  for (std::int64_t position = 8; position < 12; ++position) {
    std::vector<float> mass(static_cast<std::size_t>(position + 1), 0);
    mass[1] = .3f, mass[4] = .2f, mass[5] = .2f;   // one heavy token weighs less than two of some weight
    read(*scheduler, position, blocks(static_cast<Block>(position + 1)), mass);
  }
  EXPECT_EQ(kept_of(*scheduler, 12), (std::vector<Block>{4, 5, 8, 9, 10, 11}));
}

TEST(ChunkSelect, ALayerOfAPairKeepsWhatTheOtherChose) {
  std::vector<std::unique_ptr<Scheduler>> layers;
  std::vector<Scheduler*> before;
  for (std::int32_t layer = 0; layer < 5; ++layer) {
    layers.push_back(chunks_of(1, .4, {.layer = layer, .layers = 5}, before));
    before.push_back(layers.back().get());
    play(*layers.back(), 90, 10 + static_cast<std::uint32_t>(layer));   // its own attention, other than the layer's below
  }
  for (std::size_t layer = 0; layer < 5; ++layer) EXPECT_EQ(layers[layer]->watches(), layer % 2 == 0);
  EXPECT_EQ(kept_of(*layers[0], 90), kept_of(*layers[1], 90));
  EXPECT_EQ(kept_of(*layers[2], 90), kept_of(*layers[3], 90));
  EXPECT_NE(kept_of(*layers[0], 90), kept_of(*layers[2], 90));
  EXPECT_NE(kept_of(*layers[2], 90), kept_of(*layers[4], 90));
}

}   // namespace
}   // namespace pikv::test
