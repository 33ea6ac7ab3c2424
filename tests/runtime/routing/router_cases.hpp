#pragma once

#include <limits>
#include <random>
#include <set>
#include <vector>

#include "runtime/routing/routers.hpp"

namespace pikv::runtime {

inline constexpr float nothing = -std::numeric_limits<float>::infinity();
using Ids = std::vector<KvExpert>;

inline ExpertStats no_penalties(std::size_t experts) {
  std::vector<float> const zero(experts, 0.0f);
  return {zero, zero, zero, zero, std::vector<float>(experts, 1 / static_cast<float>(experts))};
}

inline ExpertStats random_stats(std::size_t experts, std::mt19937& bits) {
  std::uniform_real_distribution<float> in_range;
  ExpertStats stats = no_penalties(experts);
  for (auto* const values : {&stats.miss, &stats.flush, &stats.compression, &stats.distance})
    for (float& value : *values) value = in_range(bits);
  return stats;
}

inline std::vector<float> random_affinity(std::size_t experts, std::mt19937& bits) {
  std::normal_distribution<float> normal{0, 2};
  std::vector<float> z(experts);
  for (float& value : z) value = normal(bits);
  return z;
}

inline RouterMaterial material_for(KvExpert experts) {
  RouterMaterial material{.experts = experts, .group = {}, .seed = 7};
  for (KvExpert e = 0; e < experts; ++e) material.group.push_back(e % 3);
  return material;
}

inline std::unique_ptr<Router> make(std::string_view name, KvExpert experts) { return routers().at(name).make(material_for(experts)); }

inline Ids ids_of(Router& router, std::vector<float> const& z, std::int32_t k, ExpertStats const& stats, std::uint64_t id = 0) {
  Ids chosen;
  router.route({id, z}, stats, k, chosen);
  return chosen;
}
inline Ids ids_of(Router& router, std::vector<float> const& z, std::int32_t k) { return ids_of(router, z, k, no_penalties(z.size())); }

/// Another way to the k highest: one at a time.
inline Ids highest(std::vector<float> z, std::int32_t k) {
  Ids ids;
  std::set<KvExpert> taken;
  for (std::int32_t j = 0; j < k; ++j) {
    KvExpert best = -1;
    for (KvExpert e = 0; e < std::ssize(z); ++e)
      if (!taken.contains(e) && (best < 0 || z[static_cast<std::size_t>(e)] > z[static_cast<std::size_t>(best)])) best = e;
    taken.insert(best);
    ids.push_back(best);
  }
  return ids;
}

}  // namespace pikv::runtime
