#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "comm/world.hpp"

namespace pikv::comm {

/// An Interface (a World that also names its `inner`) that does what `inner` does, which outlives it; what it does otherwise it overrides.
template <class Interface>
class WorldOver : public Interface {
 public:
  explicit WorldOver(World& inner) : inner_{inner} {}

  World const& inner() const override { return inner_; }
  Rank rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  int host(Rank rank) const override { return inner_.host(rank); }
  std::string host_name(Rank rank) const override { return inner_.host_name(rank); }
  bool in_process() const override { return inner_.in_process(); }
  std::string data_path() const override { return inner_.data_path(); }
  std::string why_no_device_memory() const override { return inner_.why_no_device_memory(); }
  bool known_gone(Rank rank) const override { return inner_.known_gone(rank); }
  double now() const override { return inner_.now(); }
  Status wait(FunctionRef<bool()> ready, Deadline deadline) override { return inner_.wait(ready, deadline); }
  std::vector<Bytes> all_gather(std::span<std::byte const> mine, Deadline deadline) override { return inner_.all_gather(mine, deadline); }
  std::unique_ptr<Exchange> make_exchange(ExchangeOptions const& options) override { return inner_.make_exchange(options); }
  std::unique_ptr<Transport> make_transport() override { return inner_.make_transport(); }
  std::unique_ptr<World::Guard> guard(char const* what, double seconds) override { return inner_.guard(what, seconds); }
  void abort(int code, std::string const& sentence) override { inner_.abort(code, sentence); }

 protected:
  World& inner_;
};

}  // namespace pikv::comm
