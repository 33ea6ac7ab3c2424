#include "comm/nccl_world.hpp"

#include "comm/nccl.hpp"
#include "comm/nccl_connect.hpp"
#include "comm/nccl_exchange.hpp"
#include "comm/world_over.hpp"

namespace pikv::comm {
namespace {

class NcclWorldOver : public WorldOver<NcclWorld> {
 public:
  NcclWorldOver(World& inner, std::unique_ptr<NcclDevice> device, double patience_s)
      : WorldOver{inner}, device_{std::move(device)}, session_{connect_over_nccl(*this, device_, patience_s)} {}

  std::string data_path() const override { return inner_.data_path() + ", exchanges over NCCL " + nccl_version(); }
  std::unique_ptr<Exchange> make_exchange(ExchangeOptions const& options) override { return make_nccl_exchange(session_, options); }

 private:
  std::unique_ptr<NcclDevice> device_;
  std::shared_ptr<NcclSession> session_;
};

}  // namespace

std::unique_ptr<NcclWorld> make_nccl_world(World& inner, std::unique_ptr<NcclDevice> device, double patience_s) {
  return std::make_unique<NcclWorldOver>(inner, std::move(device), patience_s);
}

std::string why_not_nccl(World const& world, GpuPlacement const& placement, bool built_in) {
  if (world.size() == 1) return "there is one rank";
  if (!placement.any()) return "no rank has a GPU";
  if (!placement.why_shared.empty()) return placement.why_shared;
  if (!built_in) return "this build is without NCCL; rebuild with -DPIKV_CUDA=ON -DPIKV_NCCL=ON where NCCL is installed";
  return {};
}

}  // namespace pikv::comm
