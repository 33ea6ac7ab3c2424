#include "shards/homes/mod.hpp"

#include "shards/block_hash.hpp"

namespace pikv::shards {
namespace {

class ModHome : public HomePolicy {
 public:
  KvExpert expert_of(SealedBlock const& sealed) override {
    return static_cast<KvExpert>(block_hash(sealed.stream, sealed.block) % static_cast<std::uint64_t>(sealed.experts));
  }
};

}  // namespace

std::unique_ptr<HomePolicy> make_mod_home() { return std::make_unique<ModHome>(); }

}  // namespace pikv::shards
