#include "runtime/calibration/calibration_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <fstream>
#include <functional>
#include <limits>
#include <sstream>

#include "comm/error.hpp"
#include "tests/runtime/calibration/sample_calibration.hpp"
#include "tests/runtime/trace/scratch_folder.hpp"

namespace pikv::test {
namespace {

namespace fs = std::filesystem;
using runtime::Calibration;
using runtime::CalibrationData;
using shards::Part;

struct CalibrationFile : ::testing::Test {
  CalibrationFile() { runtime::write_calibration(path, data, "pikv calibrate"); }
  Calibration read() const { return Calibration::read(path); }
  std::string complaint() const {
    try {
      (void)read();
    } catch (InputError const& error) {
      return error.what();
    }
    return "";
  }
  /// Something done to the file by HDF5's own means.
  void change(std::function<void(hid_t)> const& how) const {
    hid_t const file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
    how(file);
    H5Fclose(file);
  }
  runtime::test::ScratchFolder folder;
  fs::path path = folder / "c.h5";
  CalibrationData data = sample_calibration();
};

TEST_F(CalibrationFile, GivesBackWhatWasWritten) {
  Calibration const read_back = read();
  CalibrationData const& there = read_back.data();
  EXPECT_EQ(there.facts.architecture, data.facts.architecture);
  EXPECT_EQ(there.facts.fingerprint, data.facts.fingerprint);
  EXPECT_EQ(there.facts.tokens, 300);
  EXPECT_EQ(there.facts.text, data.facts.text);
  for (std::size_t head = 0; head < 4; ++head) {
    EXPECT_EQ(there.moments[head].q_second, data.moments[head].q_second);
    EXPECT_EQ(there.moments[head].k_mean, data.moments[head].k_mean);
    EXPECT_EQ(there.moments[head].o_gram, data.moments[head].o_gram);
    EXPECT_EQ(there.moments[head].queries, 600);
    for (std::size_t part = 0; part < 2; ++part)
      for (auto const& [name, family] : data.families) {
        auto const& its = there.families.find(name)->second;
        EXPECT_EQ(its.maps[part][head].encode, family.maps[part][head].encode);
        EXPECT_EQ(its.maps[part][head].decode, family.maps[part][head].decode);
        EXPECT_EQ(its.maps[part][head].spectrum, family.maps[part][head].spectrum);
        EXPECT_EQ(its.held_out[part][head].weighted, family.held_out[part][head].weighted);
      }
  }
  EXPECT_EQ(there.coded.size(), data.coded.size());
  for (std::size_t i = 0; i < data.mixed.size(); ++i)
    for (std::size_t part = 0; part < 2; ++part)
      for (std::size_t head = 0; head < 4; ++head) {
        EXPECT_EQ(there.mixed[i][part][head].squared, data.mixed[i][part][head].squared);
        EXPECT_EQ(there.mixed[i][part][head].weighted, data.mixed[i][part][head].weighted);
      }
}

TEST_F(CalibrationFile, LooksUpByNameRankAndElement) {
  Calibration const calibration = read();
  auto const& svd = data.families["svd"];
  EXPECT_EQ(calibration.map("svd", Part::values, 1, 0).encode, svd.maps[1][2].encode);
  EXPECT_EQ(calibration.map_of_rank("svd", Part::values, 1, 0, 8).decode, shards::map_of_rank(svd.maps[1][2], 8).decode);
  EXPECT_EQ(calibration.map_of_rank("distill", Part::keys, 0, 1, 8).encode, data.fitted["distill"][8].maps[0][1].encode);
  EXPECT_EQ(calibration.held_out("svd", Part::keys, 0, 1, 8).squared, svd.held_out[0][1].squared[0]);
  EXPECT_EQ(calibration.held_out("distill", Part::keys, 0, 1, 8).weighted, .25);
  EXPECT_EQ(calibration.held_out("svd", Part::keys, 0, 1, 8, kernels::Element::bf16).weighted, svd.held_out[0][1].weighted[0]);
  EXPECT_EQ(calibration.held_out("svd", Part::keys, 0, 1, 8, kernels::Element::int4).weighted, svd.held_out[0][1].weighted[0] + 1);
  EXPECT_EQ(calibration.held_out("none", Part::keys, 0, 1, 16, kernels::Element::int4).weighted, 1);
  EXPECT_EQ(calibration.held_out("none", Part::keys, 0, 1, 16, kernels::Element::int3).weighted, 4);
  EXPECT_EQ(calibration.held_out("none", Part::keys, 0, 1, 16, kernels::Element::bf16).weighted, 0);
  EXPECT_EQ(calibration.relative_error("svd", Part::keys, 0, 1, 8, kernels::Element::bf16), svd.held_out[0][1].squared[0] / data.held_out_size[0][1].squared[0]);
  EXPECT_EQ(calibration.relative_error("none", Part::keys, 0, 1, 16, kernels::Element::bf16), 0);
  EXPECT_EQ(calibration.names(), (std::vector<std::string>{"distill", "lora", "lora_plus", "prune", "svd"}));
}

TEST_F(CalibrationFile, NamesWhatThereIsWhereAskedForSomethingElse) {
  Calibration const calibration = read();
  auto const of = [](auto const& look) {
    try {
      look();
    } catch (InputError const& error) {
      return std::string{error.what()};
    }
    return std::string{};
  };
  EXPECT_THAT(of([&] { (void)calibration.map("pca", Part::keys, 0, 0); }), ::testing::HasSubstr("lora_plus"));
  EXPECT_THAT(of([&] { (void)calibration.map_of_rank("distill", Part::keys, 0, 0, 16); }), ::testing::HasSubstr("of the ranks 8, not of 16"));
  EXPECT_THAT(of([&] { (void)calibration.held_out("svd", Part::keys, 0, 0, 12); }), ::testing::HasSubstr("8, 16"));
}

TEST_F(CalibrationFile, RefusesAnotherModelNamingWhatDiffers) {
  Calibration const calibration = read();
  runtime::ModelConfig config;
  config.architecture = "LlamaForCausalLM";
  config.layers = 2;
  config.q_heads = 4;
  config.kv_heads = 2;
  config.head_dim = 16;
  auto const complaint_of = [&](runtime::ModelConfig const& other, shards::Fingerprint const& fingerprint) {
    try {
      calibration.check_model(other, fingerprint, "--calibration=c.h5");
    } catch (InputError const& error) {
      return std::string{error.what()};
    }
    return std::string{};
  };
  EXPECT_EQ(complaint_of(config, {1, 2}), "");
  EXPECT_THAT(complaint_of(config, {1, 3}), ::testing::AllOf(::testing::HasSubstr("--calibration=c.h5"), ::testing::HasSubstr("other weights")));
  config.kv_heads = 4;
  EXPECT_THAT(complaint_of(config, {1, 2}), ::testing::HasSubstr("it has 2 KV heads, this has 4"));
  config.architecture = "MixtralForCausalLM";
  EXPECT_THAT(complaint_of(config, {1, 2}), ::testing::HasSubstr("it is a LlamaForCausalLM, this is a MixtralForCausalLM"));
}

TEST_F(CalibrationFile, IsRefusedCutShortAnywhere) {
  auto const whole = fs::file_size(path);
  for (std::uintmax_t const bytes : {std::uintmax_t{0}, std::uintmax_t{100}, whole / 3, whole / 2, whole - 1}) {
    fs::resize_file(path, bytes);
    EXPECT_THAT(complaint(), ::testing::HasSubstr("cannot be read as a calibration")) << bytes;
  }
}

TEST_F(CalibrationFile, IsRefusedWithoutADataset) {
  for (char const* const name : {"/moments/queries/second", "/maps/svd/keys/decode", "/held_out/lora/values/squared", "/coded/svd/int4", "/mixed/3.5", "/fitted/distill/8/loss"}) {
    runtime::write_calibration(path, data, "");
    change([&](hid_t file) { H5Ldelete(file, name, H5P_DEFAULT); });
    EXPECT_THAT(complaint(), ::testing::HasSubstr(std::string{"it has no "} + name));
  }
}

TEST_F(CalibrationFile, IsRefusedWithADatasetOfAnotherShape) {
  change([&](hid_t file) {
    H5Ldelete(file, "/maps/svd/keys/mean", H5P_DEFAULT);
    H5Lcreate_hard(file, "/maps/svd/keys/encode", file, "/maps/svd/keys/mean", H5P_DEFAULT, H5P_DEFAULT);
  });
  EXPECT_THAT(complaint(), ::testing::HasSubstr("/maps/svd/keys/mean has another shape"));
}

TEST_F(CalibrationFile, IsRefusedWithAValueThatIsNotFinite) {
  data.families["lora"].maps[1][3].encode[5] = std::numeric_limits<float>::quiet_NaN();
  runtime::write_calibration(path, data, "");
  EXPECT_THAT(complaint(), ::testing::HasSubstr("/maps/lora/values/encode holds a value that is not finite"));
}

TEST_F(CalibrationFile, IsRefusedWhereABitOfItsNumbersIsWrong) {
  std::string bytes = (std::ostringstream{} << std::ifstream{path, std::ios::binary}.rdbuf()).str();
  auto const& numbers = data.families["svd"].maps[0][0].encode;
  std::string const wanted{reinterpret_cast<char const*>(numbers.data()), 64};
  auto const found = bytes.find(wanted);
  ASSERT_NE(found, std::string::npos);
  bytes[found + 1] ^= 1;
  std::ofstream{path, std::ios::binary} << bytes;
  EXPECT_THAT(complaint(), ::testing::HasSubstr("could not read /maps/svd/keys/encode"));
}

TEST_F(CalibrationFile, IsRefusedOfAnotherFormat) {
  change([](hid_t file) {
    std::int64_t const later = runtime::calibration_format + 1;
    hid_t const attribute = H5Aopen(file, "calibration_format", H5P_DEFAULT);
    H5Awrite(attribute, H5T_NATIVE_INT64, &later);
    H5Aclose(attribute);
  });
  EXPECT_THAT(complaint(), ::testing::HasSubstr("it is of format 4, this version reads 3"));
}

TEST_F(CalibrationFile, IsRefusedWhereItIsSomethingElse) {
  std::ofstream{path} << "layer,head\n";
  EXPECT_THAT(complaint(), ::testing::HasSubstr("not an HDF5 file"));
  fs::remove(path);
  EXPECT_THAT(complaint(), ::testing::HasSubstr("there is no such file"));
}

}  // namespace
}  // namespace pikv::test
