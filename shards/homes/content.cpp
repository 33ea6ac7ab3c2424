#include "shards/homes/content.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <unordered_map>
#include <vector>

#include "shards/block_hash.hpp"

namespace pikv::shards {
namespace {

constexpr KvExpert none = -1;
constexpr float drift = 0.05f;
constexpr double room = 1.25;

double length_of(std::span<float const> x) { return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0)); }

/// One layer of one stream.
class Clusters {
 public:
  explicit Clusters(KvExpert experts) : centroids_(static_cast<std::size_t>(experts)), counts_(centroids_.size()) {}

  KvExpert choose(SealedBlock const& sealed) const {
    if (started_ < centroids_.size()) return next_to_start(sequence_of(sealed.stream) % centroids_.size());
    auto const cap = static_cast<std::int32_t>(std::max(1.0, std::ceil(room * (pages_ + 1) / static_cast<double>(centroids_.size()))));
    KvExpert best = none;
    double highest = 0;
    for (KvExpert e = 0; e < std::ssize(centroids_); ++e) {
      if (count(e) >= cap) continue;
      auto const& centroid = centroids_[static_cast<std::size_t>(e)];
      double const along = std::inner_product(centroid.begin(), centroid.end(), sealed.mean_key.begin(), 0.0);
      if (best == none || along > highest) best = e, highest = along;
    }
    return best;
  }

  void add(SealedBlock const& sealed, KvExpert expert) {
    auto const block = static_cast<std::size_t>(sealed.block);
    if (block >= expert_of_.size()) expert_of_.resize(block + 1, none);
    drop(expert_of_[block]);
    expert_of_[block] = expert;
    ++count(expert);
    ++pages_;
    follow(centroids_[static_cast<std::size_t>(expert)], sealed.mean_key);
  }

  void forget(Block from) {
    for (; std::ssize(expert_of_) > from; expert_of_.pop_back()) drop(expert_of_.back());
  }

  std::size_t bytes() const {
    std::size_t sum =
        centroids_.capacity() * sizeof(centroids_[0]) + counts_.capacity() * sizeof(counts_[0]) + expert_of_.capacity() * sizeof(KvExpert);
    for (auto const& centroid : centroids_) sum += centroid.capacity() * sizeof(float);
    return sum;
  }

 private:
  std::int32_t& count(KvExpert expert) { return counts_[static_cast<std::size_t>(expert)]; }
  std::int32_t count(KvExpert expert) const { return counts_[static_cast<std::size_t>(expert)]; }

  KvExpert next_to_start(std::size_t from) const {
    while (!centroids_[from].empty()) from = (from + 1) % centroids_.size();
    return static_cast<KvExpert>(from);
  }

  void drop(KvExpert expert) {
    if (expert == none) return;
    --count(expert);
    --pages_;
  }

  void follow(std::vector<float>& centroid, std::span<float const> key) {
    double const length = length_of(key);
    float const unit = length > 0 ? static_cast<float>(1 / length) : 0;
    if (centroid.empty()) {
      ++started_;
      centroid.reserve(key.size());
      for (float const x : key) centroid.push_back(x * unit);
      return;
    }
    for (std::size_t i = 0; i < centroid.size(); ++i) centroid[i] = (1 - drift) * centroid[i] + drift * unit * key[i];
    double const longer = length_of(centroid);
    for (float& x : centroid) x = longer > 0 ? static_cast<float>(x / longer) : 0;
  }

  std::vector<std::vector<float>> centroids_;   // of length 1; empty: not started
  std::vector<std::int32_t> counts_;            // pages of each expert
  std::vector<KvExpert> expert_of_;             // by block
  std::int32_t pages_ = 0;
  std::size_t started_ = 0;   // experts
};

class ContentHome : public HomePolicy {
 public:
  KvExpert expert_of(SealedBlock const& sealed) override {
    Clusters& clusters = clusters_of(sealed);
    KvExpert const expert = clusters.choose(sealed);
    clusters.add(sealed, expert);
    return expert;
  }
  void adopt(SealedBlock const& sealed, KvExpert expert) override { clusters_of(sealed).add(sealed, expert); }
  void forget(StreamId const& stream, Block from) override {
    if (auto const found = streams_.find(stream); found != streams_.end())
      for (Clusters& clusters : found->second) clusters.forget(from);
  }
  void close(StreamId const& stream) override { streams_.erase(stream); }
  std::size_t bytes() const override {
    std::size_t sum = 0;
    for (auto const& [stream, layers] : streams_)
      for (Clusters const& clusters : layers) sum += sizeof(Clusters) + clusters.bytes();
    return sum;
  }

 private:
  Clusters& clusters_of(SealedBlock const& sealed) {
    if (sealed.mean_key.empty() || !std::isfinite(length_of(sealed.mean_key))) throw std::logic_error("home content: a page without a mean key");
    auto& layers = streams_[sealed.stream];
    if (layers.empty()) layers.assign(static_cast<std::size_t>(sealed.layers), Clusters{sealed.experts});
    return layers[static_cast<std::size_t>(sealed.layer)];
  }

  std::unordered_map<StreamId, std::vector<Clusters>> streams_;
};

}  // namespace

std::unique_ptr<HomePolicy> make_content_home() { return std::make_unique<ContentHome>(); }

}  // namespace pikv::shards
