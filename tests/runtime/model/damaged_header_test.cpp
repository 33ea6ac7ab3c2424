#include <gtest/gtest.h>

#include <cctype>
#include <numeric>
#include <random>

#include "runtime/model/checkpoint.hpp"
#include "tests/runtime/model/model_files.hpp"

namespace pikv::runtime {
namespace {

std::string small_file() {
  return test::safetensors(R"({"__metadata__":{"format":"pt"},"a.weight":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},)"
                           R"("b.weight":{"dtype":"F32","shape":[4],"data_offsets":[12,28]},"c":{"dtype":"F16","shape":[],"data_offsets":[28,30]}})",
                           std::string(30, '\x11'));
}

std::size_t header_end(std::string const& file) { return file.rfind('}') + 1; }

/// Reads every byte of every tensor, so that a sanitizer sees one outside.
unsigned sum_of(Checkpoint const& checkpoint) {
  unsigned sum = 0;
  for (auto const& [name, tensor] : checkpoint.tensors()) {
    auto const* const bytes = static_cast<unsigned char const*>(tensor.data);
    auto const size = static_cast<std::size_t>(tensor.count()) * kernels::size_of(tensor.dtype);
    sum += std::accumulate(bytes, bytes + size, 0u);
  }
  return sum;
}

struct Outcome {
  int loaded = 0, refused = 0;
};

Outcome load_each(std::vector<std::string> const& files) {
  test::ScratchFolder folder;
  Outcome outcome;
  for (auto const& file : files) {
    test::write_file(folder.path() / "model.safetensors", file);
    try {
      EXPECT_LE(sum_of(Checkpoint{folder.path()}), 30u * 0x11) << "read bytes that are not data";
      ++outcome.loaded;
    } catch (InputError const&) {
      ++outcome.refused;
    }
  }
  return outcome;
}

TEST(DamagedHeader, OfOneByteLoadsOrIsRefused) {
  std::mt19937 random{20240611};
  auto const whole = small_file();
  std::vector<std::string> damaged(2000, whole);
  for (auto& file : damaged) file[random() % header_end(whole)] = static_cast<char>(random());
  auto const outcome = load_each(damaged);
  EXPECT_GT(outcome.refused, 1000);   // not all: a name may be any other
  EXPECT_GT(outcome.loaded, 10);
}

TEST(DamagedHeader, CutShortAnywhereIsRefused) {
  auto const whole = small_file();
  std::vector<std::string> cut;
  for (std::size_t size = 0; size < whole.size(); ++size) cut.push_back(whole.substr(0, size));
  EXPECT_EQ(load_each(cut).loaded, 0);
  EXPECT_EQ(load_each({whole}).loaded, 1);
}

TEST(DamagedHeader, WithADigitChangedNeverReadsOutside) {
  auto const whole = small_file();
  std::vector<std::string> damaged;
  for (std::size_t i = 8; i < header_end(whole); ++i)
    for (char const digit : std::string{"0123456789-.e"})
      if (std::isdigit(static_cast<unsigned char>(whole[i]))) {
        damaged.push_back(whole);
        damaged.back()[i] = digit;
      }
  EXPECT_GT(load_each(damaged).refused, 100);
}

}   // namespace
}   // namespace pikv::runtime
