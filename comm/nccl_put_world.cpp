#include "comm/nccl_put_world.hpp"

#include <fmt/format.h>

#include "comm/nccl.hpp"
#include "comm/nccl_put_transport.hpp"
#include "comm/nccl_windows.hpp"
#include "comm/world_over.hpp"

namespace pikv::comm {
namespace {

class NcclPutWorld : public WorldOver<NcclWorld> {
 public:
  NcclPutWorld(World& inner, std::unique_ptr<NcclDevice> device, NcclPutOptions const& options)
      : WorldOver{inner},
        device_{std::move(device)},
        windows_{connect_over_nccl(*this, device_, options.patience_s), *device_, options.patience_s},
        staging_bytes_{options.staging_bytes} {}

  std::string data_path() const override {
    if (!windows_.why_not().empty()) return fmt::format("{}, puts into GPU memory not over NCCL: {}", inner_.data_path(), windows_.why_not());
    if (!windows_.reached()) return inner_.data_path();
    return fmt::format("{}, puts into GPU memory over NCCL {} to {} of {} other ranks", inner_.data_path(), nccl_version(), *windows_.reached(),
                       size() - 1);
  }
  std::unique_ptr<Transport> make_transport() override { return make_nccl_put_transport(*this, inner_.make_transport(), windows_, staging_bytes_); }

 private:
  std::unique_ptr<NcclDevice> device_;
  NcclWindows windows_;
  std::size_t staging_bytes_;
};

}  // namespace

std::unique_ptr<NcclWorld> make_nccl_put_world(World& inner, std::unique_ptr<NcclDevice> device, NcclPutOptions const& options) {
  return std::make_unique<NcclPutWorld>(inner, std::move(device), options);
}

}  // namespace pikv::comm
