#include "comm/numa.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <fstream>
#include <sstream>
#include <system_error>

namespace pikv::comm {
namespace {

std::string text_of(std::filesystem::path const& file) {
  std::string text;
  std::getline(std::ifstream{file}, text);
  return text;
}

int number_in(std::string const& text, int otherwise) {
  int number = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

std::vector<int> numbers_in_list(std::string const& text) {
  std::vector<int> numbers;
  std::istringstream parts{text};
  for (std::string part; std::getline(parts, part, ',');) {
    int const first = number_in(part, -1);
    auto const dash = part.find('-');
    int const last = dash == std::string::npos ? first : number_in(part.substr(dash + 1), first);
    for (int number = first; number >= 0 && number <= last; ++number) numbers.push_back(number);
  }
  return numbers;
}

std::vector<int> NumaNodes::of_cores(std::span<int const> cores) const {
  std::vector<int> nodes;
  for (int const node : numbers_in_list(text_of(sysfs_ / "devices/system/node/online"))) {
    auto const of_node = numbers_in_list(text_of(sysfs_ / "devices/system/node" / ("node" + std::to_string(node)) / "cpulist"));
    bool const here = std::ranges::any_of(cores, [&](int core) { return std::ranges::find(of_node, core) != of_node.end(); });
    if (here) nodes.push_back(node);
  }
  return nodes;
}

int NumaNodes::of_pci(std::string bus_id) const {
  std::ranges::transform(bus_id, bus_id.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });   // as the kernel writes it
  return number_in(text_of(sysfs_ / "bus/pci/devices" / bus_id / "numa_node"), -1);
}

int NumaNodes::of_card(std::string const& name) const {
  for (char const* const kind : {"class/infiniband", "class/net"}) {
    auto const file = sysfs_ / kind / name / "device/numa_node";
    std::error_code unreadable;
    if (std::filesystem::exists(file, unreadable)) return number_in(text_of(file), -1);
  }
  return -1;
}

}  // namespace pikv::comm
