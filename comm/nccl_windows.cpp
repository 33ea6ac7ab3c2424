#include "comm/nccl_windows.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "comm/error.hpp"
#include "comm/nccl_connect.hpp"

namespace pikv::comm {
namespace {

class Opening : public NcclSession::Round {
 public:
  explicit Opening(std::span<std::byte> memory) : memory_{memory} {}
  bool over() const { return over_; }
  NcclWindow take_window() { return std::move(window_); }

  void post(NcclDevice& device) override { device.open_window(memory_); }
  void collect(NcclDevice& device) override { window_ = device.opened(); }
  bool take() override { return over_ = true; }

 private:
  std::span<std::byte> memory_;
  NcclWindow window_;
  bool over_ = false;
};

}  // namespace

NcclWindow NcclWindows::open(std::span<std::byte> memory) {
  World& world = session_->world();
  auto const guard = world.guard("the registration of GPU memory with NCCL", 3 * patience_s_);
  Opening opening{memory};
  auto const made = [&] {
    session_->progress();
    return opening.over();
  };
  try {
    together(world, 2 * patience_s_, [&] {
      session_->begin(opening);
      Status const status = world.wait(made, world.in(patience_s_));
      if (status == Status::peer_gone) throw RunError(gone_ranks_sentence(world));
      if (status != Status::arrived)
        throw RunError(fmt::format("NCCL did not register memory of the GPU within {} s; NCCL_DEBUG=WARN shows its own messages", patience_s_));
    });
  } catch (NotConnected const& error) {
    session_->give_up(opening);
    why_not_ = error.what();
    return {};
  } catch (...) {
    session_->give_up(opening);
    throw;
  }
  NcclWindow window = opening.take_window();
  window.reach[static_cast<std::size_t>(world.rank())] = nullptr;
  reached_ = static_cast<int>(std::ranges::count_if(window.reach, [](std::byte const* part) { return part != nullptr; }));
  return window;
}

}  // namespace pikv::comm
