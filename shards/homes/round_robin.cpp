#include "shards/homes/round_robin.hpp"

#include "shards/block_hash.hpp"

namespace pikv::shards {
namespace {

class RoundRobinHome : public HomePolicy {
 public:
  KvExpert expert_of(SealedBlock const& sealed) override {
    auto const experts = static_cast<std::uint64_t>(sealed.experts);
    return static_cast<KvExpert>((static_cast<std::uint64_t>(sealed.block) + sequence_of(sealed.stream) % experts) % experts);
  }
};

}  // namespace

std::unique_ptr<HomePolicy> make_round_robin_home() { return std::make_unique<RoundRobinHome>(); }

}  // namespace pikv::shards
