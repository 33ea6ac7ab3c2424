#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace pikv::comm {

/// What the kernel says of NUMA nodes. `sysfs` is /sys, or what stands in for it in tests; what is not there gives -1, or none.
class NumaNodes {
 public:
  explicit NumaNodes(std::filesystem::path sysfs = "/sys") : sysfs_{std::move(sysfs)} {}

  /// Of cores, each node once, in order.
  std::vector<int> of_cores(std::span<int const> cores) const;
  /// Of a PCI device, "0000:65:00.0".
  int of_pci(std::string bus_id) const;
  /// Of an InfiniBand or Ethernet card, "mlx5_0" or "eth0".
  int of_card(std::string const& name) const;

 private:
  std::filesystem::path sysfs_;
};

/// "0-3,8" as 0, 1, 2, 3, 8.
std::vector<int> numbers_in_list(std::string const& text);

}  // namespace pikv::comm
