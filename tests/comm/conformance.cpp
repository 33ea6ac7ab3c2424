#include "conformance.hpp"

#include <algorithm>
#include <cstring>
#include <random>
#include <set>
#include <string>

namespace pikv::comm::test {
std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (auto const part : {world_cases(), exchange_cases(), transport_cases()}) cases.insert(cases.end(), part.begin(), part.end());
  return cases;
}

std::vector<Case> cases_that_allow_faults() {
  std::set<std::string> const strict{"ARoundAllocatesNothing", "TransfersAllocateNothing", "TransfersCountByLocality",
                                     "TestIsTrueWhenFinishWouldNotWait"};
  auto cases = all_cases();
  std::erase_if(cases, [&](Case const& test) { return strict.contains(test.name); });
  return cases;
}

std::vector<std::byte> pattern(std::size_t bytes, int from, int to, int round) {
  constexpr std::size_t longest = 1 << 19, starts = 1 << 19;
  static std::vector<std::byte> const noise = [] {
    std::vector<std::byte> made(longest + starts);
    std::mt19937 random;
    std::ranges::generate(made, [&] { return static_cast<std::byte>(random() >> 24); });
    return made;
  }();
  auto const start = (static_cast<unsigned>((round * 64 + from) * 64 + to) * 2654435761u) % starts;
  std::vector<std::byte> made(bytes);
  for (std::size_t done = 0; done < bytes;) {   // more than `longest` repeats, from another start
    std::size_t const part = std::min(longest, bytes - done);
    std::memcpy(made.data() + done, noise.data() + (start + done / 4096 * 67) % starts, part);
    done += part;
  }
  return made;
}

}  // namespace pikv::comm::test
