// The main of tests that share an executable: EXECUTABLE SOURCE... runs those that stand in these sources.
#include <gmock/gmock.h>

#include <filesystem>
#include <iostream>
#include <string>

namespace {

std::string tests_of(std::string const& source) {
  auto const& all = *::testing::UnitTest::GetInstance();
  std::string found;
  for (int s = 0; s < all.total_test_suite_count(); ++s) {
    auto const& suite = *all.GetTestSuite(s);
    for (int t = 0; t < suite.total_test_count(); ++t) {
      auto const& test = *suite.GetTestInfo(t);
      if (std::filesystem::path{test.file()}.filename() == source) found += std::string{suite.name()} + "." + test.name() + ":";
    }
  }
  return found;
}

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleMock(&argc, argv);
  std::string wanted;
  for (int i = 1; i < argc; ++i) {
    std::string const tests = tests_of(argv[i]);
    if (tests.empty()) {
      std::cerr << argv[0] << ": no test stands in " << argv[i] << "; name sources, as ctest does\n";
      return 1;
    }
    wanted += tests;
  }
  std::string const asked = GTEST_FLAG_GET(filter);
  if (std::size_t const without = asked.find('-'); argc > 1 && without != std::string::npos) wanted += asked.substr(without);
  if (argc > 1) GTEST_FLAG_SET(filter, wanted);
  return RUN_ALL_TESTS();
}
