#include "comm/nccl_world.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "comm/error.hpp"
#include "comm/nccl.hpp"
#include "comm/nccl_exchange.hpp"
#include "comm/world_over.hpp"

namespace pikv::comm {
namespace {

class NcclWorldOver : public WorldOver<NcclWorld> {
 public:
  NcclWorldOver(World& inner, std::unique_ptr<NcclDevice> device, double patience_s) : WorldOver{inner}, device_{std::move(device)} {
    double const of_others = 4 * patience_s;   // each of the waits of a rank that connects may take that long
    NcclId id{};
    together(of_others, [&] {
      if (device_ == nullptr) device_ = make_nccl_device();
      if (rank() == 0) id = device_->make_id();
    });
    auto const ids = all_gather(id, in(of_others));
    if (ids[0].size() != id.size()) throw RunError("rank 0 sent no NCCL id");
    std::ranges::copy(ids[0], id.begin());
    together(of_others, [&] { session_ = std::make_shared<NcclSession>(*this, *device_, id, patience_s); });
  }

  std::string data_path() const override { return inner_.data_path() + ", exchanges over NCCL " + nccl_version(); }
  std::unique_ptr<Exchange> make_exchange(ExchangeOptions const& options) override { return make_nccl_exchange(session_, options); }

 private:
  /// What goes wrong on one rank is thrown by all.
  void together(double patience_s, FunctionRef<void()> local) {
    std::string trouble;
    try {
      local();
    } catch (Error const& error) {
      trouble = error.what();
    }
    auto const first = first_trouble(trouble, in(patience_s));
    if (first) throw NotConnected(fmt::format("rank {} on {}: {}", first->rank, host_name(first->rank), first->text));
  }

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
