#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/coded_page.hpp"

namespace pikv::kernels::reference {
namespace {

using Decoder = CodedPart::Decoder;

/// decode^T q, and q.mean.
struct Query {
  std::vector<double> q;
  double of_mean = 0;
};

Query map_query(Decoder const& decoder, std::int32_t rank, float const* q, std::int32_t d) {
  if (decoder.identity()) return {{q, q + d}, 0};
  Query mapped{std::vector<double>(rank, 0.0), 0};
  for (std::int32_t i = 0; i < d; ++i) {
    mapped.of_mean += static_cast<double>(q[i]) * decoder.mean[i];
    for (std::int32_t j = 0; j < rank; ++j) mapped.q[j] += static_cast<double>(q[i]) * decoder.decode[i * rank + j];
  }
  return mapped;
}

/// sum += mean * weight + decode latent.
void add_decoded(Decoder const& decoder, std::vector<double> const& latent, double weight, std::vector<double>& sum) {
  for (std::size_t i = 0; i < sum.size(); ++i) {
    if (decoder.identity()) {
      sum[i] += latent[i];
      continue;
    }
    sum[i] += weight * decoder.mean[i];
    for (std::size_t j = 0; j < latent.size(); ++j) sum[i] += decoder.decode[i * latent.size() + j] * latent[j];
  }
}

struct Page {
  std::vector<double> logits;   // of the keys that the row sees, first to last
  double log_sum_exp() const {
    if (logits.empty()) return empty_max;
    double const top = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (double logit : logits) sum += std::exp(logit - top);
    return top + std::log(sum);
  }
};

}  // namespace

void attend_coded(CodedPool const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out,
                  float* page_lse) {
  CodedLayout const& layout = pool.layout;
  std::size_t const d = layout.head_dim;
  std::int32_t const share = q_heads / layout.kv_heads;
  std::size_t group_lse = 0;
  for (std::int32_t group = 0; group < plan.groups; ++group) {
    std::int32_t const rows = plan.row_offsets[group + 1] - plan.row_offsets[group];
    std::int32_t const first_page = plan.page_offsets[group], pages = plan.page_offsets[group + 1] - first_page;
    for (std::int32_t r = 0; r < rows; ++r)
      for (std::int32_t head = 0; head < q_heads; ++head) {
        std::int32_t const row = plan.row_offsets[group] + r;
        std::size_t const at = static_cast<std::size_t>(row) * q_heads + head;
        CodedPart const keys{layout, Part::keys, head / share}, values{layout, Part::values, head / share};
        std::vector<Page> seen(pages);
        double top = empty_max, denom = 0;
        for (std::int32_t page = 0; page < pages; ++page) {
          std::byte const* const bytes = pool.page(plan.slots[first_page + page]);
          Query const query = map_query(keys.decoder(bytes), keys.head().rank, q + at * d, layout.head_dim);
          for (std::int32_t t = 0; t < plan.tokens[first_page + page]; ++t) {
            if (plan.first_position[first_page + page] + t > plan.row_position[row]) break;
            double logit = query.of_mean;
            for (std::size_t i = 0; i < query.q.size(); ++i) logit += query.q[i] * keys.load(bytes, t, static_cast<std::int32_t>(i));
            seen[page].logits.push_back(logit * scale);
            top = std::max(top, logit * scale);
          }
        }
        std::vector<double> sum(d, 0.0);
        for (std::int32_t page = 0; page < pages; ++page) {
          std::byte const* const bytes = pool.page(plan.slots[first_page + page]);
          std::vector<double> latent(values.head().rank, 0.0);
          double weights = 0;
          for (std::size_t t = 0; t < seen[page].logits.size(); ++t) {
            double const weight = std::exp(seen[page].logits[t] - top);
            weights += weight;
            for (std::size_t i = 0; i < latent.size(); ++i)
              latent[i] += weight * values.load(bytes, static_cast<std::int32_t>(t), static_cast<std::int32_t>(i));
          }
          denom += weights;
          add_decoded(values.decoder(bytes), latent, weights, sum);
          if (page_lse)
            page_lse[group_lse + (static_cast<std::size_t>(page) * rows + r) * q_heads + head] = static_cast<float>(seen[page].log_sum_exp());
        }
        out.max[at] = static_cast<float>(top);
        out.denom[at] = static_cast<float>(denom);
        for (std::size_t i = 0; i < d; ++i) out.sum[at * d + i] = static_cast<float>(sum[i]);
      }
    group_lse += static_cast<std::size_t>(pages) * rows * q_heads;
  }
}

}  // namespace pikv::kernels::reference
