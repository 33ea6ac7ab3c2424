#include "runtime/logits_file.hpp"

#include <gtest/gtest.h>

#include <array>
#include <utility>
#include <vector>

#include "comm/error.hpp"
#include "runtime/hdf5/handle.hpp"
#include "scratch_folder.hpp"

namespace pikv::runtime {
namespace {

using std::filesystem::exists;

struct Logits {
  std::array<hsize_t, 2> shape{};
  std::vector<float> values;
};

Logits logits_in(std::string const& name, std::string const& where) {
  hdf5::File const file{H5Fopen(name.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), "open " + name};
  hdf5::Dataset const dataset{H5Dopen2(file.get(), where.c_str(), H5P_DEFAULT), "open " + where};
  hdf5::Space const space{H5Dget_space(dataset.get()), "get the space"};
  Logits found;
  H5Sget_simple_extent_dims(space.get(), found.shape.data(), nullptr);
  found.values.resize(found.shape[0] * found.shape[1]);
  H5Dread(dataset.get(), H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, found.values.data());
  return found;
}

Result result(std::int64_t index, std::vector<std::int32_t> tokens, std::vector<float> logits) {
  Result made;
  made.index = index;
  made.tokens = std::move(tokens);
  made.logits = std::move(logits);
  return made;
}

struct LogitsFileTest : ::testing::Test {
  test::ScratchFolder folder;
  std::string name = folder / "logits.h5";
};

TEST_F(LogitsFileTest, HoldsEachRequestUnderItsIndexInAnyOrder) {
  LogitsFile file{name, 3};
  file.write(result(12, {5, 6}, {1, 2, 3, 4, 5, 6}));
  file.write(result(0, {7}, {-1, 0.5f, 1e30f}));
  file.commit();
  auto const [shape, values] = logits_in(name, "/request/12/logits");
  EXPECT_EQ(shape, (std::array<hsize_t, 2>{2, 3}));
  EXPECT_EQ(values, (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(logits_in(name, "/request/0/logits").values, (std::vector<float>{-1, 0.5f, 1e30f}));
  EXPECT_FALSE(exists(name + ".part"));
}

TEST_F(LogitsFileTest, ARequestThatGeneratedNothingHasNoRows) {
  LogitsFile file{name, 3};
  file.write(result(4, {}, {}));
  file.commit();
  EXPECT_EQ(logits_in(name, "/request/4/logits").shape, (std::array<hsize_t, 2>{0, 3}));
}

TEST_F(LogitsFileTest, DestroyedWithoutCommitItLeavesThePart) {
  { LogitsFile const file{name, 3}; }
  EXPECT_TRUE(exists(name + ".part"));
  EXPECT_FALSE(exists(name));
}

TEST_F(LogitsFileTest, AMissingFolderIsAnInputError) { EXPECT_THROW(LogitsFile(folder / "none/logits.h5", 3), InputError); }

TEST_F(LogitsFileTest, TheSameRequestTwiceIsRefused) {
  LogitsFile file{name, 1};
  file.write(result(4, {1}, {1}));
  EXPECT_THROW(file.write(result(4, {1}, {1})), RunError);
}

}  // namespace
}  // namespace pikv::runtime
