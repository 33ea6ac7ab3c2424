#include "comm/faults.hpp"

#include "comm/fault_clock.hpp"
#include "comm/world_over.hpp"

namespace pikv::comm {
namespace {

class FaultyWorldOver : public WorldOver<FaultyWorld> {
 public:
  FaultyWorldOver(World& inner, FaultPlan const& plan) : WorldOver{inner}, clock_{*this, {plan, inner.rank()}} {}
  FaultyWorldOver(FaultyWorldOver const&) = delete;   // the clock refers to it

  void set_step(std::int64_t step) override { clock_.source.set_step(step); }
  FaultCounts const& fault_counts() const override { return clock_.source.counts(); }
  std::string data_path() const override { return inner_.data_path() + ", with faults"; }

  Status wait(FunctionRef<bool()> ready, Deadline deadline) override {
    for (;;) {
      clock_.advance();
      double const until = std::min(deadline.at, clock_.next_due());
      Status const status = inner_.wait(ready, {until});
      if (status != Status::timeout || until == deadline.at) return status;
    }
  }
  std::unique_ptr<Exchange> make_exchange(ExchangeOptions const& options) override {
    return make_faulty_exchange(clock_, inner_.make_exchange(options));
  }
  std::unique_ptr<Transport> make_transport() override { return make_faulty_transport(clock_, inner_.make_transport()); }

 private:
  FaultClock clock_;
};

}  // namespace

std::unique_ptr<FaultyWorld> make_faulty_world(World& inner, FaultPlan const& plan) {
  return std::make_unique<FaultyWorldOver>(inner, plan);
}

}  // namespace pikv::comm
