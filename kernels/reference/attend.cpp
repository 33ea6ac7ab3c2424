#include "kernels/attend.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace pikv::kernels::reference {
namespace {

struct Key {
  std::int32_t page;    // number in the plan
  std::size_t scalar;   // where its head_dim scalars start in K and in V of the page
  double logit;
};

double log_sum_exp(std::vector<Key> const& keys, std::int32_t page) {
  double top = empty_max, sum = 0;
  for (Key const& key : keys)
    if (key.page == page) top = std::max(top, key.logit);
  for (Key const& key : keys)
    if (key.page == page) sum += std::exp(key.logit - top);
  return sum > 0 ? top + std::log(sum) : top;
}

std::vector<Key> visible_keys(PoolView const& pool, AttendPlan const& plan, std::int32_t group, std::int32_t row, float const* q,
                              std::int32_t kv_head, float scale) {
  PageLayout const& layout = pool.layout;
  std::vector<Key> keys;
  for (std::int32_t page = plan.page_offsets[group]; page < plan.page_offsets[group + 1]; ++page) {
    for (std::int32_t t = 0; t < plan.tokens[page]; ++t) {
      if (plan.first_position[page] + t > plan.row_position[row]) continue;
      Key key{page, kv_head * layout.head_scalars() + static_cast<std::size_t>(t) * layout.head_dim, 0};
      for (std::int32_t i = 0; i < layout.head_dim; ++i)
        key.logit += static_cast<double>(q[i]) * load_scalar(layout.dtype, pool.keys(plan.slots[page]), key.scalar + i);
      key.logit *= scale;
      keys.push_back(key);
    }
  }
  return keys;
}

}  // namespace

void attend(PoolView const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* page_lse) {
  PageLayout const& layout = pool.layout;
  auto const d = static_cast<std::size_t>(layout.head_dim);
  std::int32_t const share = q_heads / layout.kv_heads;
  std::size_t group_lse = 0;
  for (std::int32_t group = 0; group < plan.groups; ++group) {
    std::int32_t const rows = plan.row_offsets[group + 1] - plan.row_offsets[group];
    std::int32_t const pages = plan.page_offsets[group + 1] - plan.page_offsets[group];
    for (std::int32_t r = 0; r < rows; ++r) {
      std::int32_t const row = plan.row_offsets[group] + r;
      for (std::int32_t head = 0; head < q_heads; ++head) {
        std::size_t const at = static_cast<std::size_t>(row) * q_heads + head;
        auto const keys = visible_keys(pool, plan, group, row, q + at * d, head / share, scale);
        double top = empty_max, denom = 0;
        for (Key const& key : keys) top = std::max(top, key.logit);
        std::vector<double> sum(d, 0.0);
        for (Key const& key : keys) {
          double const weight = std::exp(key.logit - top);
          denom += weight;
          for (std::size_t i = 0; i < d; ++i) sum[i] += weight * load_scalar(layout.dtype, pool.values(plan.slots[key.page]), key.scalar + i);
        }
        out.max[at] = static_cast<float>(top);
        out.denom[at] = static_cast<float>(denom);
        for (std::size_t i = 0; i < d; ++i) out.sum[at * d + i] = static_cast<float>(sum[i]);
        if (!page_lse) continue;
        for (std::int32_t page = 0; page < pages; ++page)
          page_lse[group_lse + (static_cast<std::size_t>(page) * rows + r) * q_heads + head] =
              static_cast<float>(log_sum_exp(keys, plan.page_offsets[group] + page));
      }
    }
    group_lse += static_cast<std::size_t>(pages) * rows * q_heads;
  }
}

}  // namespace pikv::kernels::reference
