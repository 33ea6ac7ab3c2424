#include <algorithm>
#include <utility>

#include "kernels/cuda/coded.hpp"

namespace pikv::kernels::cuda {
namespace {

/// Of the heads of a layout in host memory: keys first, then values.
std::vector<CodedHead> heads_of(CodedLayout const& host) {
  std::vector<CodedHead> heads{host.k, host.k + host.kv_heads};
  heads.insert(heads.end(), host.v, host.v + host.kv_heads);
  return heads;
}

std::vector<CodedStrip> strips_of(CodedLayout const& host) {
  std::vector<CodedStrip> strips;
  for (CodedHead const& head : heads_of(host))
    if (head.strips) strips.insert(strips.end(), head.strips, head.strips + head.width / strip_numbers);
  return strips;
}

/// The heads with pointers into `strips`, a copy of strips_of.
std::vector<CodedHead> placed(std::vector<CodedHead> heads, CodedStrip const* strips) {
  for (CodedHead& head : heads)
    if (head.strips) head.strips = std::exchange(strips, strips + head.width / strip_numbers);
  return heads;
}

std::vector<LinearMap> maps_of(CodedLayout const& host) {
  std::vector<LinearMap> maps;
  for (LinearMap const* map : {host.k_map, host.v_map})
    if (map) maps.insert(maps.end(), map, map + host.kv_heads);
  return maps;
}

std::vector<float> matrices_of(CodedLayout const& host) {
  std::vector<float> matrices;
  for (LinearMap const& map : maps_of(host)) {
    if (map.identity()) continue;
    std::ptrdiff_t const d = host.head_dim, entries = d * map.rank;
    matrices.insert(matrices.end(), map.encode, map.encode + entries);
    matrices.insert(matrices.end(), map.decode, map.decode + entries);
    matrices.insert(matrices.end(), map.mean, map.mean + d);
    if (map.feedback) matrices.insert(matrices.end(), map.feedback, map.feedback + map.rank * map.rank);
  }
  return matrices;
}

/// The maps with pointers into `matrices`, a copy of matrices_of.
std::vector<LinearMap> placed(std::vector<LinearMap> maps, std::ptrdiff_t d, float const* matrices) {
  for (LinearMap& map : maps) {
    if (map.identity()) continue;
    std::ptrdiff_t const entries = d * map.rank;
    map.encode = matrices;
    map.decode = matrices + entries;
    map.mean = matrices + 2 * entries;
    matrices += 2 * entries + d;
    if (map.feedback) map.feedback = std::exchange(matrices, matrices + map.rank * map.rank);
  }
  return maps;
}

}  // namespace

DeviceCodedLayout::DeviceCodedLayout(CodedLayout const& host, Stream& stream)
    : matrices_{matrices_of(host), stream},
      maps_{placed(maps_of(host), host.head_dim, matrices_.data()), stream},
      strips_{strips_of(host), stream},
      heads_{placed(heads_of(host), strips_.data()), stream},
      view_{host} {
  LinearMap const* next = maps_.data();
  if (host.k_map) view_.k_map = std::exchange(next, next + host.kv_heads);
  if (host.v_map) view_.v_map = next;
  view_.k = heads_.data();
  view_.v = heads_.data() + host.kv_heads;
  for (std::int32_t head = 0; head < host.kv_heads; ++head) {
    key_width_ = std::max(key_width_, host.k[head].width);
    value_width_ = std::max(value_width_, host.v[head].width);
    own_basis_ = own_basis_ || host.k[head].basis != 0 || host.v[head].basis != 0;
  }
}

}  // namespace pikv::kernels::cuda
