#include "comm/nccl_world.hpp"

#include "comm/nccl.hpp"
#include "comm/nccl_exchange.hpp"

namespace pikv::comm {
namespace {

class NcclWorldOver : public NcclWorld {
 public:
  NcclWorldOver(World& inner, std::unique_ptr<NcclDevice> device, double patience_s)
      : inner_{inner}, device_{std::move(device)}, patience_s_{patience_s} {}

  World const& inner() const override { return inner_; }

  Rank rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  int host(Rank rank) const override { return inner_.host(rank); }
  std::string host_name(Rank rank) const override { return inner_.host_name(rank); }
  bool in_process() const override { return inner_.in_process(); }
  std::string data_path() const override { return inner_.data_path() + ", exchanges over NCCL " + nccl_version(); }
  std::string why_no_device_memory() const override { return inner_.why_no_device_memory(); }
  bool known_gone(Rank rank) const override { return inner_.known_gone(rank); }
  double now() const override { return inner_.now(); }
  Status wait(FunctionRef<bool()> ready, Deadline deadline) override { return inner_.wait(ready, deadline); }
  std::vector<Bytes> all_gather(std::span<std::byte const> mine, Deadline deadline) override { return inner_.all_gather(mine, deadline); }
  std::unique_ptr<Transport> make_transport() override { return inner_.make_transport(); }
  std::unique_ptr<Guard> guard(char const* what, double seconds) override { return inner_.guard(what, seconds); }
  void abort(int code, std::string const& sentence) override { inner_.abort(code, sentence); }

  std::unique_ptr<Exchange> make_exchange(ExchangeOptions const& options) override {
    auto session = session_.lock();
    if (session == nullptr) {
      if (device_ == nullptr) device_ = make_nccl_device();
      session = std::make_shared<NcclSession>(*this, *device_, patience_s_);
      session_ = session;
    }
    return make_nccl_exchange(std::move(session), options);
  }

 private:
  World& inner_;
  std::unique_ptr<NcclDevice> device_;
  double patience_s_;
  std::weak_ptr<NcclSession> session_;   // of the exchanges there are: it ends with the last of them
};

}  // namespace

std::unique_ptr<NcclWorld> make_nccl_world(World& inner, std::unique_ptr<NcclDevice> device, double patience_s) {
  return std::make_unique<NcclWorldOver>(inner, std::move(device), patience_s);
}

std::string why_not_nccl(World const& world, GpuPlacement const& placement, bool built_in) {
  if (world.size() == 1) return "there is one rank";
  if (!placement.any()) return "no rank has a GPU";
  if (!placement.why_shared.empty()) return placement.why_shared;
  if (!built_in) return "this build is without NCCL; rebuild with -DPIKV_NCCL=ON where it is installed";
  return {};
}

}  // namespace pikv::comm
