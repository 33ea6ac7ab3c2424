#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/routing/router.hpp"

namespace pikv::runtime {

/// Makes the statistics that routers see out of what happened (methods 2.4, 2.5). It starts with no penalties and even loads.
///   miss         moves by 0.05 to the step's share of missed pages; of an expert that was not read, by 0.01 to the mean of all, so that one that
///                is avoided gets another chance
///   flush        the share of an expert's pages that the last eviction took, fading by exp(-steps / flush_steps)
///   compression  error / the largest allowed, at most 1
///   distance     time to reach the expert / the longest
///   load         share of the pages read, a mean over steps with a half-life of 64; steps without reads leave it as it is
class ExpertHistory {
 public:
  ExpertHistory(KvExpert experts, double flush_steps);

  void read(KvExpert expert, std::uint32_t pages, std::uint32_t missed);   // missed <= pages
  void evicted(KvExpert expert, double share);
  void compression(std::span<float const> error, float largest);
  void distance(std::span<float const> seconds);
  void end_step();

  ExpertStats const& stats() const { return stats_; }

 private:
  ExpertStats stats_;
  std::vector<std::uint32_t> pages_, missed_;   // of this step
  float fading_;
};

}  // namespace pikv::runtime
