#pragma once

#include "comm/nccl_world.hpp"
#include "comm/world_over.hpp"

namespace pikv::comm::test {

/// A world whose time is virtual, for what goes on by being polled: before its time may jump, there are many looks.
class PatientWorld : public WorldOver<NcclWorld> {
 public:
  using WorldOver::WorldOver;
  Status wait(FunctionRef<bool()> ready, Deadline deadline) override {
    auto const looked = [&] {
      for (int looks = 0; looks < 1000; ++looks)
        if (ready()) return true;
      return false;
    };
    return inner_.wait(looked, deadline);
  }
};

}  // namespace pikv::comm::test
