#include "runtime/model/placed_weights.hpp"

#include <gtest/gtest.h>

#include "tests/runtime/reference_data.hpp"

namespace pikv::runtime {
namespace {

std::uint64_t bytes_of(kernels::MatrixView const& matrix) {
  return static_cast<std::uint64_t>(matrix.out) * static_cast<std::uint64_t>(matrix.in) * kernels::size_of(matrix.dtype);
}

std::uint64_t of_experts(Model const& model) {
  std::uint64_t bytes = 0;
  for (std::int32_t l = 0; l < model.config().layers; ++l)
    for (ExpertWeights const& expert : model.layer(l).experts) bytes += bytes_of(expert.w1) + bytes_of(expert.w2) + bytes_of(expert.w3);
  return bytes;
}

TEST(WeightBytes, CountWhatAStepReadsOnADevice) {
  auto const model = Model::load(test::data_folder() / "odd-llama", 0, 1);
  std::uint64_t bytes = of_experts(model) + bytes_of(model.head()) + model.final_norm().size() * sizeof(float);
  for (std::int32_t l = 0; l < model.config().layers; ++l) {
    LayerWeights const& layer = model.layer(l);
    for (auto const& matrix : {layer.q, layer.k, layer.v, layer.o}) bytes += bytes_of(matrix);
    for (auto const* norm : {&layer.attention_norm, &layer.ffn_norm}) bytes += norm->size() * sizeof(float);
  }
  EXPECT_EQ(weight_bytes(model), bytes);
}

TEST(WeightBytes, AreOfTheExpertsOfTheRankAlone) {
  auto const load = [](int rank, int ranks) { return Model::load(test::data_folder() / "odd-mixtral", rank, ranks); };
  auto const all = load(0, 1), first = load(0, 2), second = load(1, 2);
  std::uint64_t const beside = weight_bytes(all) - of_experts(all);
  EXPECT_EQ(weight_bytes(first), beside + of_experts(first));
  EXPECT_EQ(weight_bytes(second), beside + of_experts(second));
  EXPECT_EQ(of_experts(first) + of_experts(second), of_experts(all));
}

TEST(PlacedWeights, OnTheHostAreTheModelsOwn) {
  auto const model = Model::load(test::data_folder() / "odd-mixtral", 0, 1);
  PlacedWeights const placed{model, kernels::host_device()};
  EXPECT_EQ(placed.layer(1).q.data, model.layer(1).q.data);
  EXPECT_EQ(placed.layer(0).experts.back().w2.data, model.layer(0).experts.back().w2.data);
  EXPECT_EQ(placed.final_norm().data(), model.final_norm().data());
  EXPECT_EQ(placed.head().data, model.head().data);
}

}  // namespace
}  // namespace pikv::runtime
