// The main of tests that share an executable: EXECUTABLE SOURCE runs those that stand in SOURCE.
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
  std::string const tests = argc == 2 ? tests_of(argv[1]) : "";
  if (tests.empty()) {
    std::cerr << argv[0] << ": no test stands in " << (argc == 2 ? argv[1] : "what was named") << "; name one source, as ctest does\n";
    return 1;
  }
  std::string const asked = GTEST_FLAG_GET(filter);
  std::size_t const without = asked.find('-');
  GTEST_FLAG_SET(filter, tests + (without == std::string::npos ? "" : asked.substr(without)));
  return RUN_ALL_TESTS();
}
